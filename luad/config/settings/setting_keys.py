"""The settings by key, and a reader for the values of each.

Rule: one value in, one value out; a reader raises ``ValueError``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from luad.config.settings.store_target import Target
from luad.config.settings.web_settings import read_base_path, read_header, read_roles
from luad.core.cron.zones import load_zone
from luad.core.model import AlertCause
from luad.wire import parse_duration_ms, parse_size

LogFormat: TypeAlias = Literal["auto", "console", "json", "journal"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


class Address(NamedTuple):
    """The address to listen on.

    *host* is a name or an address, without brackets; port 0 selects a free port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _paths(value: Any) -> tuple[Path, ...]:
    parts = value.split(os.pathsep) if isinstance(value, str) else value
    found = tuple(Path(part) for part in parts if str(part))
    if not found:
        raise ValueError("at least one folder is needed")
    return found


def _words(value: Any) -> tuple[str, ...]:
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    return tuple(str(part) for part in parts)


def _queues(value: Any) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_words(value)))
    for word in found:
        if _QUEUE.fullmatch(word) is None:
            raise ValueError(f"{word!r} is not the name of a queue; write a-z, 0-9, ., _ and -")
    if not found:
        raise ValueError("at least one queue is needed")
    return found


_QUEUE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)


def _whole(value: Any) -> int:
    try:
        number = int(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None
    if number < 1:
        raise ValueError(f"{number} is less than 1")
    return number


def _count_or_never(value: object) -> int | None:
    return None if str(value) == "0" else _whole(value)


def read_address(value: object) -> Address | None:
    """Return the address of ``host:port``; None for ``none``, which flags and variables accept.

    Raises ``ValueError``.
    """
    text = str(value)
    if text == "none":
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[3]) > _MAX_PORT:
        raise ValueError(f"{text!r} is not an address; write 127.0.0.1:5823 or [::1]:5823")
    return Address(found[1] or found[2], int(found[3]))


_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", re.ASCII)
_MAX_PORT: Final = 65_535


def read_networks(value: object) -> tuple[str, ...]:
    """Return addresses and networks, such as ``10.0.0.0/8``. Raises ``ValueError``."""
    words = _words(value)
    for word in words:
        try:
            ip_network(word, strict=False)
        except ValueError:
            fix = "write 10.0.0.5 or 10.0.0.0/8"
            raise ValueError(f"{word!r} is neither an address nor a network; {fix}") from None
    return words


def _causes(value: object) -> tuple[AlertCause, ...]:
    return tuple(AlertCause(_choice(*AlertCause)(word)) for word in _words(value))


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"1", "true", "yes", "on"}:
        return True
    if str(value).lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"{value!r} is neither true nor false")


def _zone(value: object) -> str:
    load_zone(str(value))
    return str(value)


def read_lost_after(value: object) -> int:
    """Return the milliseconds after which a silent worker has lost its attempts. Raises ``ValueError``."""
    lost_after_ms = parse_duration_ms(value)
    if lost_after_ms < _LEAST_LOST_AFTER_MS:
        raise ValueError("at least 10s: a worker may miss a sign of life or two")
    return lost_after_ms


_LEAST_LOST_AFTER_MS: Final = 10_000


def _node(value: object) -> str:
    if not _NODE.fullmatch(str(value)):
        raise ValueError(f"{value!r} is not a name; write up to 63 of a-z, A-Z, 0-9, . _ -")
    return str(value)


_NODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


def _choice(*words: str) -> Callable[[Any], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not one of {', '.join(words)}")
        return str(value)

    return read


@dataclass(frozen=True, slots=True)
class Key:
    """A setting: its name with ``_`` for a level, and the reader of its value."""

    name: str
    read: Callable[[Any], Any]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"LUAD_{self.name.upper()}"


KEYS: Final = (
    Key("jobs", _paths),
    Key("state_dir", Path),
    Key("socket", Path),
    Key("handlers_path", Path),
    Key("working_directory", Path),
    Key("timezone", _zone),
    Key("log_format", _choice(*get_args(LogFormat))),
    Key("log_level", _choice(*get_args(LogLevel))),
    Key("max_concurrent_runs", _whole),
    Key("shared_processes", _whole),
    Key("work", _flag),
    Key("work_queues", _queues),
    Key("kill_grace", parse_duration_ms),
    Key("drain", parse_duration_ms),
    Key("retention_history", parse_duration_ms),
    Key("retention_runs_per_job", _whole),
    Key("retention_logs", parse_duration_ms),
    Key("rescan", parse_duration_ms),
    Key("settle", parse_duration_ms),
    Key("pass_env", _words),
    Key("max_file_size", parse_size),
    Key("max_jobs", _whole),
    Key("permit_insecure", _flag),
    Key("output_limit", parse_size),
    Key("users", _paths),
    Key("listen", read_address),
    Key("tls_certificate", Path),
    Key("tls_key", Path),
    Key("trusted_proxies", read_networks),
    Key("allowed_hosts", _words),
    Key("dynamic_handlers", _words),
    Key("dynamic_max_jobs", _whole),
    Key("dynamic_max_jobs_per_user", _whole),
    Key("dynamic_min_interval", parse_duration_ms),
    Key("dynamic_creates_per_minute", _whole),
    Key("alert_to", _words),
    Key("alert_after_failures", _count_or_never),
    Key("alert_or_failures_in_24h", _count_or_never),
    Key("alert_recovery", _flag),
    Key("alert_also", _causes),
    Key("webhooks_allow_private", _flag),
    Key("web_enabled", _flag),
    Key("web_user_header", read_header),
    Key("web_proxy_secret_file", Path),
    Key("web_proxy_socket", Path),
    Key("web_roles", read_roles),
    Key("web_base_path", read_base_path),
    Key("watch", _flag),
    Key("strict", _flag),
    Key("store", Target.parse),
    Key("store_password_file", Path),
    Key("node", _node),
    Key("lost_after", read_lost_after),
)
VARIABLES: Final = tuple(key.variable for key in KEYS)
