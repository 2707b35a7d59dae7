"""Announces which files of the job folders may have changed.

Rule: a name is a hint which file to look at; the snapshot decides. Where names may be missing, the
announcement says so.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from luad.clock import elapsed_ms
from luad.mount_points import read_mounts
from luad.watcher import inotify
from luad.watcher.inotify import Change, Inotify
from luad.watcher.mounted_files import files_elsewhere

_FINISHED_MS: Final = 2  # a burst of renames becomes few announcements
_WRITING_MS: Final = 50  # an open file is announced while it is written, but not at its first byte
_HEARTBEAT_MS: Final = 2_000  # the time until a folder that was replaced is noticed
_POLL_MS: Final = 1_000  # between two polls if the kernel gives no notifications
_UNFINISHED: Final = inotify.CREATE | inotify.MODIFY
_FOLDER_GONE: Final = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.IGNORED

Hints = Collection[str] | None
"""Paths to look at; None if any file may have changed."""

Identity = tuple[tuple[int, int] | None, ...]


class FolderWatch:
    """Watches *folders*, without their subfolders, in a thread that calls *announce* with hints.

    A file that is stored elsewhere (see `mounted_files`) has a watch of its own. *report* gets one sentence
    when watching fails or falls back to polling.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        announce: Callable[[Hints], None],
        report: Callable[[str], None],
    ) -> None:
        self._shown = {str(folder.absolute()): str(folder / "_")[:-1] for folder in folders}
        self._announce = announce
        self._report = report
        self._stop = threading.Event()
        self._queue: Inotify | None = None
        self._identity: Identity = ()
        self._elsewhere: tuple[str, ...] = ()
        self._mounts = b""
        self._is_failing = False
        self._is_polling = False
        self._pending: dict[str, int] = {}  # paths, and when to announce them
        self._lock = threading.Lock()  # closes the queue in one thread only
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Register with the kernel before returning; each later change is announced."""
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 - the daemon also works without a watch
            self._handle_failure(error)
        self._thread = threading.Thread(target=self._run, name="luad-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching and wait for the thread."""
        with self._lock:
            self._stop.set()
            if self._queue is not None:
                self._queue.wake_up()
        if self._thread is not None:
            self._thread.join()
        self._close_queue()

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
        self._close_queue()
        self._identity = ()

    def _wait_for_change(self) -> None:
        """Wait for a change or for the heartbeat, and announce changes."""
        must_open = False
        if self._is_polling:
            self._stop.wait(_POLL_MS / 1_000)
            self._announce(None)
        elif self._queue is None:
            self._stop.wait(_HEARTBEAT_MS / 1_000 / 4)
        else:
            if self._queue.wait(self._patience_ms()):
                must_open = self._take(tuple(self._queue.changes()))
            self._announce_due()
        # A watch ends without an event when another folder replaces its folder. A folder that was deleted
        # and created again may have the same inode number; then only the event shows it.
        if not self._stop.is_set() and (must_open or self._is_stale()):
            self._close_queue()
            self._open()
            self._announce(None)

    # --- changes ---

    def _patience_ms(self) -> int:
        """Return the milliseconds until an announcement is due, at most the heartbeat."""
        if not self._pending:
            return _HEARTBEAT_MS
        return min(_HEARTBEAT_MS, max(0, min(self._pending.values()) - elapsed_ms()))

    def _take(self, changes: Iterable[Change]) -> bool:
        """Note the paths of *changes*; return True if the watches must be made again."""
        now, must_open = elapsed_ms(), False
        for change in changes:
            if change.mask & inotify.OVERFLOW:
                self._pending.clear()
                self._announce(None)
            for watched in change.watched:
                prefix = self._shown.get(watched)
                if prefix is not None and not change.name:
                    must_open = must_open or bool(change.mask & _FOLDER_GONE)
                    self._note(prefix, now)
                    continue
                path = watched if prefix is None else prefix + change.name
                is_open = not change.mask & ~_UNFINISHED
                self._note(self._as_shown(path), now + (_WRITING_MS if is_open else _FINISHED_MS))
                must_open = must_open or self._needs_watch(watched, change)
        return must_open

    def _needs_watch(self, watched: str, change: Change) -> bool:
        """Return True if a change may concern a file that is stored elsewhere."""
        path = f"{watched}/{change.name}" if change.name else watched
        if path in self._elsewhere:
            return self._identity != self._read_identity()
        return os.path.islink(path) and self._elsewhere != self._find_elsewhere()

    def _as_shown(self, path: str) -> str:
        """Return the path of a file as the settings name its folder."""
        folder, name = os.path.split(path)
        return self._shown.get(folder, folder + "/") + name

    def _note(self, path: str, at: int) -> None:
        self._pending[path] = min(at, self._pending.get(path, at))

    def _announce_due(self) -> None:
        now = elapsed_ms()
        due = [path for path, at in self._pending.items() if at <= now]
        if due:
            for path in due:
                del self._pending[path]
            self._announce(due)

    # --- watches ---

    def _is_stale(self) -> bool:
        """Return True if the paths to watch differ from those that are watched."""
        if self._identity != self._read_identity():
            return True
        return self._mounts != read_mounts() and self._elsewhere != self._find_elsewhere()

    def _find_elsewhere(self) -> tuple[str, ...]:
        self._mounts = read_mounts()
        return files_elsewhere(list(map(Path, self._shown)), self._mounts)

    def _open(self) -> None:
        self._elsewhere = self._find_elsewhere()
        self._identity, self._is_polling = self._read_identity(), False
        present = [
            path
            for path, identity in zip(self._paths(), self._identity, strict=True)
            if identity is not None
        ]
        if not present or self._stop.is_set():
            return
        try:
            self._queue = Inotify()
            for path in present:
                with suppress(FileNotFoundError):  # gone since the look
                    self._queue.add(path)
        except OSError as error:
            self._close_queue()
            self._is_polling = True
            self._report(
                f"the kernel gives no notifications ({error}); luad polls every second instead."
                f"{_limit_hint(error)}"
            )

    def _close_queue(self) -> None:
        with self._lock:
            queue, self._queue = self._queue, None
            self._pending.clear()
            if queue is not None:
                queue.close()

    def _read_identity(self) -> Identity:
        return tuple(map(_identity_of, self._paths()))

    def _paths(self) -> list[str]:
        return [*self._shown, *self._elsewhere]


def _limit_hint(error: OSError) -> str:
    name = {errno.ENOSPC: "max_user_watches", errno.EMFILE: "max_user_instances"}.get(
        error.errno or 0
    )
    return f" Raise it, and restart luad: sysctl fs.inotify.{name}=65536" if name else ""


def _identity_of(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
