"""The kernel's queue of changes (inotify), read without polling.

`watchfiles` looks for changes many times a second, and does not report that the kernel has lost some.

Rule: reports what the kernel reports; decides nothing.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
_ALL: Final = (
    MODIFY
    | ATTRIB
    | CLOSE_WRITE
    | MOVED_FROM
    | MOVED_TO
    | CREATE
    | DELETE
    | DELETE_SELF
    | MOVE_SELF
)
_EVENT: Final = struct.Struct("iIII")
_AT_ONCE: Final = 1 << 16


class Change(NamedTuple):
    """One event. *watched* are the watched paths that it concerns, *name* the entry of a folder or empty.

    With the flag `OVERFLOW`, the kernel has lost events, and there is no path.
    """

    watched: tuple[str, ...]
    name: str
    mask: int


class Inotify:
    """A queue of changes of some paths. Raises OSError if the kernel refuses it or a path."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError("this system has no inotify")
        self._descriptor = self._check(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._paths: dict[int, tuple[str, ...]] = {}
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        for each in (self._descriptor, self._wake):
            self._poll.register(each, select.POLLIN)

    def _check(self, result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def add(self, path: str) -> None:
        """Watch a file, or a folder with its entries. Two paths may lead to one inode."""
        watch = self._check(self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), _ALL))
        self._paths[watch] = (*self._paths.get(watch, ()), path)

    def wait(self, timeout_ms: int) -> bool:
        """Wait for changes or `wake_up`; return False after the time-out."""
        return bool(self._poll.poll(timeout_ms))

    def wake_up(self) -> None:
        """End `wait` in another thread, now and from now on."""
        os.write(self._waker, b"x")

    def changes(self) -> Iterator[Change]:
        """Yield the changes that the kernel has queued."""
        while True:
            try:
                data = os.read(self._descriptor, _AT_ONCE)
            except BlockingIOError:
                return
            yield from self._parse(data)

    def _parse(self, data: bytes) -> Iterator[Change]:
        place = 0
        while place < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, place)
            place += _EVENT.size
            name = os.fsdecode(data[place : place + length].rstrip(b"\0"))
            place += length
            yield Change(self._paths.get(watch, ()), name, mask)

    def close(self) -> None:
        """Give the queue back to the kernel."""
        for each in (self._descriptor, self._wake, self._waker):
            os.close(each)
