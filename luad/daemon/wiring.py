"""Translates the settings into the configuration of each package.

Rule: this module starts nothing.
"""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad import __version__
from luad.api.auth.proxy_users import ProxyUsers
from luad.api.service import DynamicRules
from luad.api.transport.tcp import ListenSpec
from luad.config.jobs.handler_names import reserved_handlers
from luad.config.settings.daemon_settings import SettingsError, working_directory
from luad.core.state import Bounds
from luad.daemon.file_reading import ConfigReader, UserReader
from luad.daemon.ownership import TrustCheck, permits_insecure
from luad.daemon.settings_change import settings_change
from luad.messenger.sender import Sender
from luad.runner.spec import RunnerConfig
from luad.trust import path_problem
from luad.watcher import FolderWatch, Hints, SnapshotReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.api.pages import Pages
    from luad.clock import Clock
    from luad.config.jobs.catalogue import Catalogue
    from luad.config.settings.daemon_settings import Settings
    from luad.logs import Logging

_LEAST_SECRET: Final = 32
_MOST_SECRET: Final = 1_000
_ZONES: Final = "/usr/share/zoneinfo/tzdata.zi"


def bounds(settings: Settings) -> Bounds:
    """Return the limits of the engine."""
    return Bounds(
        settings.max_concurrent_runs,
        settings.dynamic.max_jobs,
        settings.dynamic.max_jobs_per_user,
        settings.alert,
        queues=settings.served_queues,
    )


def dynamic_rules(settings: Settings) -> DynamicRules:
    """Return the rules for dynamic jobs."""
    dynamic = settings.dynamic
    return DynamicRules(
        dynamic.handlers,
        settings.handlers_path.absolute(),
        settings.timezone,
        dynamic.min_interval_ms,
        dynamic.creates_per_minute,
        settings.served_queues,
    )


def runner_config(settings: Settings) -> RunnerConfig:
    """Return the configuration of the runner."""
    return RunnerConfig(
        handlers_path=(settings.handlers_path.absolute(),),
        state_dir=settings.state_dir.absolute(),
        socket_path=settings.socket.absolute(),  # a handler may change its working directory
        cwd=working_directory(settings),
        kill_grace_ms=settings.kill_grace_ms,
        output_limit_bytes=settings.output_limit,
        pass_env=tuple(settings.pass_env),
        permit_insecure=permits_insecure(settings),
        allowed=settings.dynamic.handlers,
    )


def shared_processes(settings: Settings) -> int:
    """Return the largest number of shared processes."""
    return settings.shared_processes or len(os.sched_getaffinity(0))


def job_snapshots(settings: Settings) -> SnapshotReader:
    """Return a reader of the job folders."""
    return SnapshotReader(
        settings.jobs,
        settings.settle_ms,
        settings.max_file_size,
        permits_insecure(settings),
        keeps_data=False,
    )


def files_digest(settings: Settings) -> str:
    """Return a hash of all that the jobs of a file depend on besides its content.

    The snapshot of another luad, of other settings or of other time zones is ignored.
    """
    parts = (
        __version__,
        version("tzdata"),
        _system_zones(),
        str(Path.cwd()),
        [str(folder) for folder in settings.jobs],
        settings.timezone,
        settings.work_queues,
        settings.max_jobs,
        settings.max_file_size,
        permits_insecure(settings),
        os.geteuid(),
    )
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _system_zones() -> bytes:
    """Return the first line of the system's time zones, which has their version."""
    with suppress(OSError), open(_ZONES, "rb") as file:  # noqa: PTH123 - one line of a large file
        return file.readline(100)
    return b""


def config_reader(settings: Settings, catalogue: Catalogue, clock: Clock) -> ConfigReader:
    """Return the reader of job and user files."""
    trust = TrustCheck(settings)
    return ConfigReader(
        job_snapshots(settings),
        catalogue,
        clock,
        UserReader(settings, lambda: user_snapshots(settings)),
        lambda: trust.problems() + settings_change(settings.file),
        partial(reserved_handlers, folder=settings.handlers_path),
    )


def user_snapshots(settings: Settings) -> SnapshotReader:
    """Return a reader of the user folders that exist."""
    folders = [each for each in settings.users if each.is_dir()]
    return SnapshotReader(
        folders, settings.settle_ms, settings.max_file_size, permits_insecure(settings)
    )


def folder_watch(
    settings: Settings, on_change: Callable[[Hints], None], logs: Logging
) -> FolderWatch:
    """Return a watch of the job and user folders; it calls *on_change* on the running loop."""
    loop = asyncio.get_running_loop()

    def announce(hints: Hints) -> None:  # in the thread of the watch
        loop.call_soon_threadsafe(on_change, hints)

    def on_trouble(message: str) -> None:
        logs.emit("warning", "watch.degraded", {"message": message})

    return FolderWatch((*settings.jobs, *settings.users), announce, on_trouble)


def sender(settings: Settings) -> Sender:
    """Return the sender of messages to services."""
    return Sender(
        allow_private=settings.webhooks_allow_private, permit_insecure=permits_insecure(settings)
    )


def listen_spec(settings: Settings) -> ListenSpec | None:
    """Return where luad listens besides its socket, and the rules; None for nowhere."""
    address, web = settings.listen, settings.web
    proxy_socket = web.proxy_socket if web.is_enabled else None
    if address is None and proxy_socket is None:
        return None
    return ListenSpec(
        "" if address is None else address.host,
        0 if address is None else address.port,
        settings.tls_certificate,
        settings.tls_key,
        settings.trusted_proxies,
        settings.allowed_hosts,
        permits_insecure(settings),
        proxy_socket,
        web.base_path,
    )


def pages(settings: Settings) -> Pages | None:
    """Return the pages for browsers; None where luad serves none."""
    web = settings.web
    if not web.is_enabled or (settings.listen is None and web.proxy_socket is None):
        return None
    from luad.web.site import Site  # noqa: PLC0415 - only a daemon with pages pays for templates

    return Site(web.base_path)


def proxy_users(settings: Settings) -> ProxyUsers | None:
    """Return the users that a proxy signs in; None without them. Raises `SettingsError`."""
    web = settings.web
    if not web.is_enabled or not web.user_header:
        return None
    secret = b""
    if web.proxy_secret_file is not None:
        secret = _secret_in(web.proxy_secret_file, is_strict=not permits_insecure(settings))
    return ProxyUsers(web.user_header, web.roles, secret)


def _secret_in(path: Path, *, is_strict: bool) -> bytes:
    """Return the secret of the proxy; no other user of the machine may read it, unless not *is_strict*."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(_MOST_SECRET + 1).strip()
    except OSError as error:
        text = f"web.proxy_secret_file: cannot read {path}: {error.strerror}"
        raise SettingsError(
            text, hint="write a random secret into it, for luad and the proxy"
        ) from error
    problem = path_problem(path, daemon_uid=os.geteuid()) if is_strict else None
    if problem is not None:
        raise SettingsError(f"web.proxy_secret_file: {problem.message}", hint=problem.help)
    if is_strict and mode & stat.S_IROTH:
        text = f"web.proxy_secret_file: every user may read {path}"
        raise SettingsError(text, hint=f"run: chmod o-r {path}")
    if not _LEAST_SECRET <= len(secret) <= _MOST_SECRET or not secret.isascii():
        text = f"web.proxy_secret_file: {path} does not hold {_LEAST_SECRET} to {_MOST_SECRET} characters"
        raise SettingsError(text, hint=f"run: openssl rand -hex 32 > {path}")
    return secret
