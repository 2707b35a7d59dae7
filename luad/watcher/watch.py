"""Announces that something in the job folders may have changed.

Room rule: says *that*, never *what*. A notification is a hint; the snapshot decides.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from watchfiles._rust_notify import (  # what `watchfiles.watch` drives; see `start`
    RustNotify,
    WatchfilesRustInternalError,
)

from luad.watcher.mounted_files import files_apart, read_mounts

_DEBOUNCE_MS: Final = 50  # a burst becomes one announcement
_STEP_MS: Final = 30  # a change waits for two of them; half of it would double what idling costs
_HEARTBEAT_MS: Final = 2_000  # how soon a folder that was exchanged is noticed
_BLIND_MS: Final = 1_000  # between two looks where the kernel has no notifications to give
_IN_CREATE: Final = 0x100

Identity = tuple[tuple[int, int] | None, ...]


class FolderWatch:
    """Watches *folders* (not below them) in a thread and calls *announce* there.

    A file that lies elsewhere (see `apart`) is watched by itself as well.

    *announce* gets nothing; *report* gets one sentence when watching had to change its ways.
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
        self._apart: tuple[str, ...] = ()
        self._mounts = b""
        self._is_failing = False
        self._is_blind = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Register with the kernel before returning: what changes from now on is announced.

        `watchfiles.watch` registers when it is first iterated, which a caller cannot wait for; its
        engine is used directly for that one reason.
        """
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 - a daemon without a watch is a daemon
            self._stumble(error)
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
                self._look()
                self._is_failing = False
            except Exception as error:  # noqa: BLE001 - a watch that ends would end without a word
                self._stumble(error)
                self._stop.wait(_HEARTBEAT_MS / 1_000)

    def _stumble(self, error: Exception) -> None:
        """Begin anew at the next look; say so once."""
        if not self._is_failing:
            self._report(f"watching failed and is tried again ({error})")
        self._is_failing = True
        self._close_notify()
        self._identity = ()

    def _look(self) -> None:
        """Wait for a change, or for the heartbeat."""
        is_gone = has_changed = False
        if self._is_blind:
            self._stop.wait(_BLIND_MS / 1_000)
            self._announce()
        elif self._notify is None:
            self._stop.wait(_HEARTBEAT_MS / 1_000 / 4)
        else:
            changes = self._notify.watch(_DEBOUNCE_MS, _STEP_MS, _HEARTBEAT_MS, self._stop)
            if isinstance(changes, set):
                self._announce()
                has_changed = True
                is_gone = any(path in self._names for _, path in changes)
        # A watch dies without a word when its folder is exchanged for another one. One that was deleted and
        # made again may have the number of the old one: then the event alone tells.
        if not self._stop.is_set() and (is_gone or self._is_stale(has_changed=has_changed)):
            self._close_notify()
            self._open()
            self._announce()

    def _is_stale(self, *, has_changed: bool) -> bool:
        """Say whether what has to be watched is not what was opened."""
        if self._identity != self._read_identity():
            return True
        may_differ = has_changed or self._mounts != read_mounts()
        return may_differ and self._apart != self._find_apart()

    def _find_apart(self) -> tuple[str, ...]:
        self._mounts = read_mounts()
        return files_apart(self._folders, self._mounts)

    def _open(self) -> None:
        self._apart = self._find_apart()
        self._identity, self._is_blind = self._read_identity(), False
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
            # watchfiles could poll, but it compares times in whole seconds; the snapshot does better.
            self._is_blind = True
            self._report(
                f"the kernel gives no notifications ({error}); looking every second instead."
                f"{_more_of(error)}"
            )

    def _close_notify(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None

    def _read_identity(self) -> Identity:
        return tuple(map(_identity_of, self._paths()))

    def _paths(self) -> list[str]:
        return [*map(str, self._folders), *self._apart]


def _more_of(error: OSError | WatchfilesRustInternalError) -> str:
    name = {errno.ENOSPC: "max_user_watches", errno.EMFILE: "max_user_instances"}.get(
        getattr(error, "errno", None) or 0
    )
    return f" Raise it, and restart luad: sysctl fs.inotify.{name}=65536" if name else ""


def _try_out(paths: list[str]) -> None:
    """Ask the kernel for one watch a folder, and give them back.

    watchfiles takes a kernel that has no watch left for one that has nothing to tell.
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
