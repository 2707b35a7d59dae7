"""The process of a daemon: opens its log, its store and its event loop, and closes them again.

Rule: this module knows no job.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from luad.clock import SystemClock
from luad.config.settings.daemon_settings import Settings
from luad.core.events import Log
from luad.daemon.app import Daemon
from luad.daemon.ownership import check_trust
from luad.errors import StoreUnavailableError, UnavailableError
from luad.logs import Logging, configure
from luad.notify import Notifier
from luad.store import Store
from luad.store.password_file import read_password
from luad.store.state_folder import StateLock

_PATIENCE_US: Final = 300_000_000
"""How much longer systemd waits after each report of a migration; a long commit sends none."""


def run_daemon(settings: Settings, *, is_worker: bool = False) -> int:
    """Run a daemon, or a worker alone, until a signal stops it. Raises `LuadError` when it cannot start."""
    check_trust(settings)
    try:
        return _live_once(settings, is_worker=is_worker)
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise UnavailableError(
            "the machine does not give luad another thread",
            hint="allow it more processes: TasksMax= in its unit, `ulimit -u` in a shell",
        ) from error
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        raise UnavailableError(
            "luad cannot open another file",
            hint="allow it more: LimitNOFILE= in its unit, `ulimit -n` in a shell",
        ) from error


def _live_once(settings: Settings, *, is_worker: bool) -> int:
    logs = configure(settings.log_format, settings.log_level)
    clock = SystemClock()
    try:
        if settings.store is not None:
            return _live_shared(settings, logs, clock, is_worker=is_worker)
        store = _open_store(settings, logs, clock)
        try:
            return asyncio.run(Daemon(settings, logs, store, clock).run())
        finally:
            store.close()
    finally:
        logs.close()


def _open_store(settings: Settings, logs: Logging, clock: SystemClock) -> Store:
    notifier = Notifier(os.environ)
    report = _reporter(logs, notifier)
    try:
        return Store.open(settings.state_dir, clock=clock, report=report)
    finally:
        notifier.close()


def _live_shared(settings: Settings, logs: Logging, clock: SystemClock, *, is_worker: bool) -> int:
    """Run a node, or a worker, of the store in PostgreSQL until a signal stops it."""
    try:
        from luad.cluster.node_daemon import NodeDaemon  # noqa: PLC0415 - needs an extra
        from luad.cluster.node_store import NodeStore  # noqa: PLC0415 - needs an extra
        from luad.cluster.worker_daemon import WorkerDaemon, connection_name  # noqa: PLC0415 - needs an extra
        from luad.store.postgresql.node_backend import NodeBackend  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        raise StoreUnavailableError(
            f"a store in PostgreSQL needs {error.name}", hint="pip install '.[cluster]'"
        ) from error
    assert settings.store is not None, "the caller has looked"
    target = replace(settings.store, password=read_password(settings.store_password_file))
    node = settings.node or socket.gethostname()
    name = connection_name(node) if is_worker else node
    make = WorkerDaemon if is_worker else NodeDaemon
    lock = StateLock.take(settings.state_dir.absolute())
    notifier = Notifier(os.environ)
    try:
        backend = NodeBackend(target, name, _reporter(logs, notifier), does_chores=not is_worker)
        store = NodeStore(lock, backend, clock=clock)
    except BaseException:
        lock.give_up()
        raise
    finally:
        notifier.close()
    try:
        return asyncio.run(make(settings, logs, store, backend, clock).run())
    finally:
        store.close()


def _reporter(logs: Logging, notifier: Notifier) -> Callable[[Log], None]:
    """Return a function that reports a migration to the log, and to systemd, which then waits longer."""

    def report(line: Log) -> None:
        logs.emit(line.level, line.event, line.fields)
        notifier.extend_timeout(_PATIENCE_US)
        notifier.status(f"migrating the database ({line.event.removeprefix('store.')})")

    return report
