"""Announces that something in the job folders may have changed.

Rule: it never says which file changed. A notification is a hint; the snapshot decides.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from watchfiles._rust_notify import (  # the engine of `watchfiles.watch`; see `start`
    RustNotify,
    WatchfilesRustInternalError,
)

from luad.mount_points import read_mounts
from luad.watcher.mounted_files import files_elsewhere

_DEBOUNCE_MS: Final = 50  # a burst becomes one announcement
_STEP_MS: Final = 30  # a change waits for two steps; half of it would double the cost of idling
_HEARTBEAT_MS: Final = 2_000  # the time until a folder that was replaced is noticed
_POLL_MS: Final = 1_000  # between two polls if the kernel gives no notifications
_IN_CREATE: Final = 0x100

Identity = tuple[tuple[int, int] | None, ...]


class FolderWatch:
    """Watches *folders*, without their subfolders, in a thread that calls *announce*.

    A file that is stored elsewhere (see `mounted_files`) has a watch of its own.

    *announce* has no argument; *report* gets one sentence when watching fails or falls back to polling.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        announce: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        self._folders = [folder.absolute() for folder in folders]
        self._names = frozenset(map(str, self._folders))
        self._announce = announce
        self._report = report
        self._stop = threading.Event()
        self._notify: RustNotify | None = None
        self._identity: Identity = ()
        self._elsewhere: tuple[str, ...] = ()
        self._mounts = b""
        self._is_failing = False
        self._is_polling = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Register with the kernel before returning; each later change is announced.

        `watchfiles.watch` registers at its first iteration, for which a caller cannot wait. For that
        one reason luad uses its engine directly.
        """
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 - the daemon also works without a watch
            self._handle_failure(error)
        self._thread = threading.Thread(target=self._run, name="luad-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching and wait for the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._close_notify()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._wait_for_change()
                self._is_failing = False
            except Exception as error:  # noqa: BLE001 - the thread must not end without a report
                self._handle_failure(error)
                self._stop.wait(_HEARTBEAT_MS / 1_000)

    def _handle_failure(self, error: Exception) -> None:
        """Close the watch, so that the next round opens a new one; report this once."""
        if not self._is_failing:
            self._report(f"watching failed and is tried again ({error})")
        self._is_failing = True
        self._close_notify()
        self._identity = ()

    def _wait_for_change(self) -> None:
        """Wait for a change or for the heartbeat, and announce changes."""
        is_gone = has_changed = False
        if self._is_polling:
            self._stop.wait(_POLL_MS / 1_000)
            self._announce()
        elif self._notify is None:
            self._stop.wait(_HEARTBEAT_MS / 1_000 / 4)
        else:
            changes = self._notify.watch(_DEBOUNCE_MS, _STEP_MS, _HEARTBEAT_MS, self._stop)
            if isinstance(changes, set):
                self._announce()
                has_changed = True
                is_gone = any(path in self._names for _, path in changes)
        # A watch ends without an event when another folder replaces its folder. A folder that was deleted
        # and created again may have the same inode number; then only the event shows it.
        if not self._stop.is_set() and (is_gone or self._is_stale(has_changed=has_changed)):
            self._close_notify()
            self._open()
            self._announce()

    def _is_stale(self, *, has_changed: bool) -> bool:
        """Return True if the paths to watch differ from those that are watched."""
        if self._identity != self._read_identity():
            return True
        may_differ = has_changed or self._mounts != read_mounts()
        return may_differ and self._elsewhere != self._find_elsewhere()

    def _find_elsewhere(self) -> tuple[str, ...]:
        self._mounts = read_mounts()
        return files_elsewhere(self._folders, self._mounts)

    def _open(self) -> None:
        self._elsewhere = self._find_elsewhere()
        self._identity, self._is_polling = self._read_identity(), False
        present = [
            path
            for path, identity in zip(self._paths(), self._identity, strict=True)
            if identity is not None
        ]
        if not present:
            return
        try:
            _try_out(present)
            self._notify = _make(present)
        except (OSError, WatchfilesRustInternalError) as error:
            # watchfiles can poll, but compares times in whole seconds; the snapshot is more exact.
            self._is_polling = True
            self._report(
                f"the kernel gives no notifications ({error}); luad polls every second instead."
                f"{_limit_hint(error)}"
            )

    def _close_notify(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None

    def _read_identity(self) -> Identity:
        return tuple(map(_identity_of, self._paths()))

    def _paths(self) -> list[str]:
        return [*map(str, self._folders), *self._elsewhere]


def _limit_hint(error: OSError | WatchfilesRustInternalError) -> str:
    name = {errno.ENOSPC: "max_user_watches", errno.EMFILE: "max_user_instances"}.get(
        getattr(error, "errno", None) or 0
    )
    return f" Raise it, and restart luad: sysctl fs.inotify.{name}=65536" if name else ""


def _try_out(paths: list[str]) -> None:
    """Open and close one watch for each path; raises OSError if the kernel refuses one.

    watchfiles does not report that the kernel has no watch left.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        return
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        for path in paths:
            if libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_CREATE) < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    finally:
        os.close(descriptor)


def _make(paths: list[str]) -> RustNotify:
    debug, must_poll, poll_delay_ms, recursive, ignore_denied = False, False, 0, False, True
    return RustNotify(paths, debug, must_poll, poll_delay_ms, recursive, ignore_denied)


def _identity_of(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
