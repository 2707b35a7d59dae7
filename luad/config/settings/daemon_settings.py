"""The daemon's settings: flags before `LUAD_*` variables, luad.yaml, and defaults.

Relative paths of the file start at its folder, those of flags and variables at the working folder.

Rule: bytes and mappings in, values out; opens no file, and does not query the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from luad.config.settings.allowed_handlers import DEFAULT_PATTERNS
from luad.config.settings.setting_keys import KEYS, Address, Key, LogFormat, LogLevel
from luad.config.settings.store_target import Target
from luad.config.settings.web_settings import NO_WEB, Web
from luad.core.cron.zones import ZoneError
from luad.core.model import DAY, DEFAULT_QUEUE, MINUTE, SECOND, AlertPolicy
from luad.errors import Problem, Severity, UsageError
from luad.wire import socket_to_bind

PAGES_ADDRESS: Final = Address("127.0.0.1", 5823)
"""The address of the dashboard where only `web` asks for it."""


class SettingsError(UsageError):
    """The settings are invalid. *problems* are those of luad.yaml, if they are the cause."""

    code = "settings"

    def __init__(self, message: str, *, hint: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Retention:
    """The retention of runs (*history_ms*, at most *runs_per_job*) and of output (*logs_ms*)."""

    history_ms: int = 30 * DAY
    runs_per_job: int = 1_000
    logs_ms: int = 14 * DAY


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The limits of dynamic jobs. `luad.config.settings.allowed_handlers` defines *handlers*."""

    handlers: tuple[str, ...] = DEFAULT_PATTERNS
    max_jobs: int = 1_000_000
    max_jobs_per_user: int = 10_000
    min_interval_ms: int = 10_000
    creates_per_minute: int = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings.

    *output_limit* are the bytes kept of the head of an output, and as many of its tail. *watch*:
    reload when a job file changes. *strict*: do not start while a file is broken. These two apply
    to one start of the daemon, and are not keys of the file.

    *does_work* is False for a node that starts no run itself. *store* is the PostgreSQL store; None is the embedded one, in *state_dir*. *trusted_proxies* are addresses or networks. *alert* applies to jobs without a policy.

    *sources* has the origin of each value by key: ``flag``, ``$LUAD_X`` or the file's path. A
    missing key has its default. *file* is luad.yaml as it was read.
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
    shared_processes: int | None = None  # the number of cores
    does_work: bool = True
    work_queues: tuple[str, ...] = (DEFAULT_QUEUE,)
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
    web: Web = NO_WEB
    store: Target | None = None
    store_password_file: Path | None = None
    node: str | None = None  # the host's name
    lost_after_ms: int = 30 * SECOND
    watch: bool = True
    strict: bool = False
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    file: SettingsFile | None = field(default=None, compare=False)

    @property
    def served_queues(self) -> frozenset[str] | None:
        """The queues that a job may name; None if each queue may have a worker."""
        return frozenset(self.work_queues) if self.store is None else None


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The path and content of luad.yaml."""

    path: str
    data: bytes


def load_settings(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: SettingsFile | None,
    *,
    uid: int = 0,
    own_socket: Path | None = None,
) -> Settings:
    """Return the settings in force. Raises `SettingsError`.

    *flags* are named like the keys, with ``_`` for a level (``log_format``); None means not given.
    *uid* is the daemon's user, which decides the default place of the socket. *own_socket* is the
    socket of a project's daemon, for settings that name none.
    """
    known = {key.name: key for key in KEYS}
    assert flags.keys() <= known.keys(), f"no such setting: {flags.keys() - known.keys()}"
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for name, value in _from_file(file).items():
        values[name], sources[name] = known[name].read(value), str(file and file.path)
    for key in KEYS:
        if text := environ.get(key.variable, ""):
            values[key.name] = _from_text(key, text, f"${key.variable}")
            sources[key.name] = f"${key.variable}"
    for name, value in flags.items():
        if value is not None and value != ():
            option = f"--{_OPTIONS.get(name, name.replace('_', '-'))}"
            values[name] = _from_text(known[name], value, option)
            sources[name] = "flag"
    values.setdefault("jobs", (Path(file.path if file else "").parent / "jobs.d",))
    if own_socket is not None:
        values.setdefault("socket", own_socket)
    return replace(_complete(values, sources, environ, uid), file=file)


def _complete(
    values: dict[str, Any], sources: dict[str, str], environ: Mapping[str, str], uid: int
) -> Settings:
    """Add the defaults that depend on other settings, or on the environment."""
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
    web = _web(values)
    if (values.get("tls_certificate") is None) != (values.get("tls_key") is None):
        raise SettingsError(
            "`tls` needs both a certificate and a key", hint="tls_certificate, tls_key"
        )
    if values.get("work") is False and values.get("store") is None:
        raise SettingsError(
            "`work: false` needs a PostgreSQL store: with the embedded store, no other process starts the runs",
            hint="delete `work: false`, or set `store` and run `luad worker`",
        )
    renamed = {_FIELDS.get(name, name): value for name, value in values.items()}
    return Settings(
        **renamed, retention=retention, dynamic=dynamic, alert=alert, web=web, sources=sources
    )


def _take(values: dict[str, Any], group: str) -> dict[str, Any]:
    """Remove the values of *group* from *values*, and return them by field."""
    found = {}
    for name in [each for each in values if each.startswith(f"{group}_")]:
        key = name.removeprefix(f"{group}_")
        found[_FIELDS.get(key, key)] = values.pop(name)
    return found


def _web(values: dict[str, Any]) -> Web:
    """Return the settings of the dashboard; without another address it is on loopback.

    A header with a user counts only with a proof that the proxy has sent it.
    """
    given = _take(values, "web")
    web = Web(**given)
    if web.user_header and not (web.proxy_secret_file or web.proxy_socket):
        raise SettingsError(
            "`web.user_header` needs a proof that a request comes from the proxy",
            hint="set web.proxy_secret_file, or web.proxy_socket: a Unix socket for the proxy alone",
        )
    if given and web.is_enabled and web.proxy_socket is None:
        values.setdefault("listen", PAGES_ADDRESS)
    return web


def _alert(values: dict[str, Any]) -> AlertPolicy | None:
    """Return the default policy; None if it alerts no user."""
    return AlertPolicy(**values) if values.get("to") else None


_OPTIONS: Final = {
    "work_queues": "queues",
    "max_concurrent_runs": "concurrency",
    "handlers_path": "handlers",
    "node": "name",
    "state_dir": "state",
}
"""The options that have other names than their keys."""

_PATHS: Final = (
    "jobs", "users", "state_dir", "socket", "handlers_path", "working_directory", "tls_certificate", "tls_key",
    "web_proxy_secret_file", "web_proxy_socket", "store_password_file"
)  # fmt: skip
_GROUPS: Final = ("log", "retention", "tls", "dynamic", "alert", "webhooks", "web", "work")
_FIELDS: Final = {
    "or_failures_in_24h": "failures_in_24h",
    "enabled": "is_enabled",
    "work": "does_work",
    **{
        name: f"{name}_ms"
        for name in (
            *("kill_grace", "drain", "rescan", "settle", "lost_after"),
            *("history", "logs", "min_interval"),
        )
    },
}


def _from_text(key: Key, value: object, source: str) -> object:
    try:
        return key.read(value)
    except ZoneError as error:
        raise SettingsError(f"{source}: {error.message}", hint=error.help) from None
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None


# --- the file ----------------------------------------------------------------------------------


def _from_file(file: SettingsFile | None) -> dict[str, Any]:
    """Return the file's values by flat name, with relative paths joined to its folder."""
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
        if key in _GROUPS and isinstance(value, dict):
            flat.update({f"{key}_{inner}": each for inner, each in value.items()})
            if key == "web":  # `web: {}` asks for the dashboard
                flat.setdefault("web_enabled", True)
        else:
            flat[key] = value
    folder = Path(file.path).parent
    for key in _PATHS:
        if key in flat:
            value = flat[key]
            flat[key] = folder / value if isinstance(value, str) else [folder / v for v in value]
    return flat


def check_settings(file: SettingsFile) -> tuple[dict[str, object], tuple[Problem, ...]]:
    """Return the document of luad.yaml, and its problems."""
    from luad.config.settings.settings_check import read_settings  # noqa: PLC0415 - many installations have no file

    return read_settings(file.path, file.data)


def working_directory(settings: Settings) -> Path:
    """Return the directory in which runs start, by default that of luad itself."""
    return (settings.working_directory or Path.cwd()).absolute()
