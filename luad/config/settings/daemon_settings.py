"""The daemon's settings: flags win over `LUAD_*` variables, those over luad.yaml, that over defaults.

Room rule: bytes and mappings in, values out; opens no file and asks the machine nothing. Relative
paths of the file start at its folder, those of flags and variables at the working folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from luad.config.settings.allowed_handlers import DEFAULT_PATTERNS
from luad.core.cron.zones import ZoneError, load_zone
from luad.core.model import DAY, MINUTE, SECOND, AlertCause, AlertPolicy
from luad.errors import Problem, Severity, UsageError
from luad.wire import parse_duration_ms, parse_size, socket_to_bind

LogFormat: TypeAlias = Literal["auto", "console", "json", "journal"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


class SettingsError(UsageError):
    """The settings cannot be used. *problems* are those of luad.yaml, when it is the culprit."""

    code = "settings"

    def __init__(self, message: str, *, hint: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of the past: runs for *history_ms* and at most *runs_per_job*, output for
    *logs_ms*."""

    history_ms: int = 30 * DAY
    runs_per_job: int = 1_000
    logs_ms: int = 14 * DAY


class Address(NamedTuple):
    """Where to listen. *host* is a name or an address, without brackets; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Dynamic:
    """What jobs may be made at run time. *handlers* are patterns of `luad.config.settings.allowed_handlers`."""

    handlers: tuple[str, ...] = DEFAULT_PATTERNS
    max_jobs: int = 1_000_000
    max_jobs_per_user: int = 10_000
    min_interval_ms: int = 10_000
    creates_per_minute: int = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. *output_limit*: bytes kept of the head, and of the tail, each.
    *watch*: reload when a job file changes; *strict*: do not start while one is broken. These two
    belong to one start of the daemon, and stand in no file.

    *trusted_proxies* are addresses or networks. *alert* is for jobs that have no policy of their own.

    *sources* tells where a value comes from, by key: ``flag``, ``$LUAD_X`` or the file's path;
    what is not in it is a default.
    """

    jobs: tuple[Path, ...] = (Path("jobs.d"),)
    state_dir: Path = Path(".luad")
    socket: Path = Path(".luad/luad.sock")
    handlers_path: Path = Path("handlers")
    working_directory: Path | None = None
    timezone: str = "UTC"
    log_format: LogFormat = "auto"
    log_level: LogLevel = "info"
    max_concurrent_runs: int = 512
    kill_grace_ms: int = 10 * SECOND
    drain_ms: int = 90 * SECOND
    retention: Retention = Retention()
    rescan_ms: int = 5 * MINUTE
    settle_ms: int = 2 * SECOND
    pass_env: tuple[str, ...] = ()
    max_file_size: int = 1 << 20
    max_jobs: int = 1_000_000
    permit_insecure: bool = False
    output_limit: int = 256 << 10
    users: tuple[Path, ...] = (Path("users.d"),)
    listen: Address | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    dynamic: Dynamic = Dynamic()
    alert: AlertPolicy | None = None
    webhooks_allow_private: bool = False
    watch: bool = True
    strict: bool = False
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """luad.yaml as it was read."""

    path: str
    data: bytes


def load_settings(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    file: SettingsFile | None,
    *,
    uid: int = 0,
    own_socket: Path | None = None,
) -> Settings:
    """Return the settings in force. Raises `SettingsError`.

    *flags* are named like the keys, with ``_`` for a level (``log_format``); None means not given.
    *uid* is the user the daemon runs as: it decides where the socket may be. *own_socket* is the place
    of a project's daemon, for settings that name none.
    """
    known = {key.name: key for key in _KEYS}
    assert flags.keys() <= known.keys(), f"no such setting: {flags.keys() - known.keys()}"
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, value in _from_file(file).items():
        values[name], sources[name] = known[name].read(value), str(file and file.path)
    for key in _KEYS:
        if text := environ.get(key.variable, ""):
            values[key.name] = _from_text(key, text, f"${key.variable}")
            sources[key.name] = f"${key.variable}"
    for name, value in flags.items():
        if value is not None and value != ():
            option = f"--{name.replace('_', '-')}"
            values[name] = _from_text(known[name], value, option)
            sources[name] = "flag"
    values.setdefault("jobs", (Path(file.path if file else "").parent / "jobs.d",))
    if own_socket is not None:
        values.setdefault("socket", own_socket)
    return _complete(values, sources, environ, uid)


def _complete(
    values: dict[str, Any], sources: dict[str, str], environ: Mapping[str, str], uid: int
) -> Settings:
    """Put the defaults in that depend on other settings, or on where luad runs."""
    beside = values["jobs"][0].parent
    systemd_state = environ.get("STATE_DIRECTORY", "").split(":")[0]
    values.setdefault("state_dir", Path(systemd_state) if systemd_state else beside / ".luad")
    values.setdefault("handlers_path", beside / "handlers")
    values.setdefault("users", (beside / "users.d",))
    if "socket" not in values:
        values["socket"] = Path(socket_to_bind(environ, uid, str(values["state_dir"])))
    retention = Retention(**_take(values, "retention"))
    dynamic = Dynamic(**_take(values, "dynamic"))
    alert = _alert(_take(values, "alert"))
    if (values.get("tls_certificate") is None) != (values.get("tls_key") is None):
        raise SettingsError(
            "`tls` needs both a certificate and a key", hint="tls_certificate, tls_key"
        )
    renamed = {_FIELDS.get(name, name): value for name, value in values.items()}
    return Settings(**renamed, retention=retention, dynamic=dynamic, alert=alert, sources=sources)


def _take(values: dict[str, Any], group: str) -> dict[str, Any]:
    """Take the values of *group* out of *values*, named as its class names them."""
    found = {}
    for name in [each for each in values if each.startswith(f"{group}_")]:
        key = name.removeprefix(f"{group}_")
        found[_FIELDS.get(key, key)] = values.pop(name)
    return found


def _alert(values: dict[str, Any]) -> AlertPolicy | None:
    """Return the default policy; None when there is nobody to tell."""
    return AlertPolicy(**values) if values.get("to") else None


_FIELDS: Final = {
    "or_failures_in_24h": "failures_in_24h",
    **{
        name: f"{name}_ms"
        for name in ("kill_grace", "drain", "rescan", "settle", "history", "logs", "min_interval")
    },
}

# --- one value ---------------------------------------------------------------------------------


def _paths(value: Any) -> tuple[Path, ...]:
    parts = value.split(os.pathsep) if isinstance(value, str) else value
    found = tuple(Path(part) for part in parts if str(part))
    if not found:
        raise ValueError("at least one folder is needed")
    return found


def _words(value: Any) -> tuple[str, ...]:
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    return tuple(str(part) for part in parts)


def _whole(value: Any) -> int:
    try:
        number = int(value)
    except ValueError:
        raise ValueError(f"{value!r} is no whole number") from None
    if number < 1:
        raise ValueError(f"{number} is less than 1")
    return number


def _count_or_never(value: Any) -> int | None:
    return None if str(value) == "0" else _whole(value)


def read_address(value: Any) -> Address | None:
    """Read ``host:port``; ``none``, which only a flag or a variable can say, is no address.

    Raises ``ValueError``.
    """
    text = str(value)
    if text == "none":
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[3]) > _MAX_PORT:
        raise ValueError(f"{text!r} is no address; write 127.0.0.1:5823 or [::1]:5823")
    return Address(found[1] or found[2], int(found[3]))


_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", re.ASCII)
_MAX_PORT: Final = 65_535


def read_networks(value: Any) -> tuple[str, ...]:
    """Read addresses and networks: ``10.0.0.0/8``. Raises ``ValueError``."""
    words = _words(value)
    for word in words:
        try:
            ip_network(word, strict=False)
        except ValueError:
            fix = "write 10.0.0.5 or 10.0.0.0/8"
            raise ValueError(f"{word!r} is no address and no network; {fix}") from None
    return words


def _causes(value: Any) -> tuple[AlertCause, ...]:
    return tuple(AlertCause(_choice(*AlertCause)(word)) for word in _words(value))


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"1", "true", "yes", "on"}:
        return True
    if str(value).lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"{value!r} is neither true nor false")


def _zone(value: Any) -> str:
    load_zone(str(value))
    return str(value)


def _choice(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is none of {', '.join(words)}")
        return str(value)

    return read


@dataclass(frozen=True, slots=True)
class _Key:
    """A setting: its name with ``_`` for a level, and how a value is read."""

    name: str
    read: Callable[[Any], Any]

    @property
    def variable(self) -> str:
        return f"LUAD_{self.name.upper()}"


_KEYS: Final = (
    _Key("jobs", _paths),
    _Key("state_dir", Path),
    _Key("socket", Path),
    _Key("handlers_path", Path),
    _Key("working_directory", Path),
    _Key("timezone", _zone),
    _Key("log_format", _choice(*get_args(LogFormat))),
    _Key("log_level", _choice(*get_args(LogLevel))),
    _Key("max_concurrent_runs", _whole),
    _Key("kill_grace", parse_duration_ms),
    _Key("drain", parse_duration_ms),
    _Key("retention_history", parse_duration_ms),
    _Key("retention_runs_per_job", _whole),
    _Key("retention_logs", parse_duration_ms),
    _Key("rescan", parse_duration_ms),
    _Key("settle", parse_duration_ms),
    _Key("pass_env", _words),
    _Key("max_file_size", parse_size),
    _Key("max_jobs", _whole),
    _Key("permit_insecure", _flag),
    _Key("output_limit", parse_size),
    _Key("users", _paths),
    _Key("listen", read_address),
    _Key("tls_certificate", Path),
    _Key("tls_key", Path),
    _Key("trusted_proxies", read_networks),
    _Key("allowed_hosts", _words),
    _Key("dynamic_handlers", _words),
    _Key("dynamic_max_jobs", _whole),
    _Key("dynamic_max_jobs_per_user", _whole),
    _Key("dynamic_min_interval", parse_duration_ms),
    _Key("dynamic_creates_per_minute", _whole),
    _Key("alert_to", _words),
    _Key("alert_after_failures", _count_or_never),
    _Key("alert_or_failures_in_24h", _count_or_never),
    _Key("alert_recovery", _flag),
    _Key("alert_also", _causes),
    _Key("webhooks_allow_private", _flag),
    _Key("watch", _flag),
    _Key("strict", _flag),
)
_PATHS: Final = (
    "jobs", "users", "state_dir", "socket", "handlers_path", "working_directory", "tls_certificate", "tls_key"
)  # fmt: skip
_GROUPS: Final = ("log", "retention", "tls", "dynamic", "alert", "webhooks")


def _from_text(key: _Key, value: Any, source: str) -> Any:
    try:
        return key.read(value)
    except ZoneError as error:
        raise SettingsError(f"{source}: {error.message}", hint=error.help) from None
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None


# --- the file ----------------------------------------------------------------------------------


def _from_file(file: SettingsFile | None) -> dict[str, Any]:
    """Return the file's values by flat name, its relative paths made to start at its folder."""
    if file is None:
        return {}
    document, found = check_settings(file)
    problems = tuple(each for each in found if each.severity is Severity.ERROR)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise SettingsError(
            f"{file.path} has {count}: {problems[0].message} (line {problems[0].line})",
            hint=problems[0].help or f"luad check {file.path}",
            problems=problems,
        )
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if key in _GROUPS:
            flat.update({f"{key}_{inner}": each for inner, each in value.items()})
        else:
            flat[key] = value
    folder = Path(file.path).parent
    for key in _PATHS:
        if key in flat:
            value = flat[key]
            flat[key] = folder / value if isinstance(value, str) else [folder / v for v in value]
    return flat


def check_settings(file: SettingsFile) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Return luad.yaml's document, and everything that is wrong with it."""
    from luad.config.settings.settings_check import read_settings  # noqa: PLC0415 - many run without the file

    return read_settings(file.path, file.data)


def working_directory(settings: Settings) -> Path:
    """Return the directory in which runs start: by default the one in which luad was started."""
    return (settings.working_directory or Path.cwd()).absolute()


VARIABLES: Final = tuple(key.variable for key in _KEYS)
