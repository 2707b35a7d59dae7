"""The bounded queue of lines, its writing thread, and the two sinks.

Rule: `put` returns at once in any state of the sink; a line is written completely or counted as dropped.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, Protocol, TypeAlias

from luad.clock import monotonic_us

BYTES_LIMIT: Final = 4 * 1024 * 1024  # waiting lines; beyond it they are dropped
BATCH_LINES: Final = 256
LINGER_S: Final = (
    0.003  # a first line waits for others: each wake-up of the thread costs the callers time
)
RETRY_S: Final = 0.5  # the time between tries of a broken sink while no line comes
HOLD_US: Final = 2_000_000  # the longest time that lines wait for the first one
SEND_LIMIT_S: Final = 1  # the longest time that one datagram may wait for the journal

_Marker: TypeAlias = threading.Event
Describe: TypeAlias = Callable[[int], bytes]


class Sink(Protocol):
    """A target of lines. Only the writing thread calls it."""

    def write(self, lines: Sequence[bytes]) -> int:
        """Write lines in order and return the number of written ones. May block.

        An OSError means that no further line can be written now.
        """
        ...

    def close(self) -> None:
        """Close the descriptor."""
        ...


class LineQueue:
    """Passes lines to a thread that writes them to *sink*.

    *describe_drop* renders the line with the number of dropped lines.
    """

    def __init__(self, sink: Sink, describe_drop: Describe) -> None:
        self._sink = sink
        self._describe_drop = describe_drop
        # A SimpleQueue and an RLock, because a finaliser may log during `put` in the same thread.
        self._queue: SimpleQueue[bytes | _Marker | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._bytes_in = 0
        self._bytes_out = 0  # only the thread changes it
        self._dropped = 0
        self._reported = 0  # the dropped lines that a line has reported
        self._is_closed = False
        self._is_hurried = threading.Event()
        self._thread = threading.Thread(target=self._drain, name="luad-logs", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """The number of lines that were lost so far."""
        return self._dropped

    def put(self, line: bytes) -> None:
        """Queue *line*, or count it as dropped; never blocks, never raises."""
        with self._lock:
            if self._is_closed or self._bytes_in - self._bytes_out + len(line) > BYTES_LIMIT:
                self._dropped += 1
                return
            self._bytes_in += len(line)
            self._queue.put(line)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all earlier lines are written or dropped; False after *timeout_s*."""
        marker = threading.Event()
        self._queue.put(marker)
        self._is_hurried.set()
        return marker.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Write the waiting lines, then end the thread; wait for it at most *timeout_s*."""
        with self._lock:
            self._is_closed = True
            self._queue.put(None)
            self._is_hurried.set()
        self._thread.join(timeout_s)

    def _drain(self) -> None:
        is_open = True
        while is_open:
            lines, markers, is_open = self._next_batch()
            self._write(lines)
            for marker in markers:
                marker.set()
        self._sink.close()

    def _next_batch(self) -> tuple[list[bytes], list[_Marker], bool]:
        """Return waiting lines and markers, up to a batch, and False once the queue is closed."""
        lines: list[bytes] = []
        markers: list[_Marker] = []
        with suppress(Empty):
            item = self._wait_for_item()
            while True:
                if item is None:
                    return lines, markers, False
                if isinstance(item, threading.Event):
                    self._is_hurried.clear()
                    markers.append(item)
                else:
                    lines.append(item)
                if len(lines) + len(markers) >= BATCH_LINES:
                    break
                item = self._queue.get_nowait()
        return lines, markers, True

    def _wait_for_item(self) -> bytes | _Marker | None:
        """Return the next item; after a time without any, give others the time to follow it."""
        try:
            return self._queue.get_nowait()
        except Empty:
            item = self._queue.get(timeout=RETRY_S if self._dropped > self._reported else None)
            if isinstance(item, bytes):
                self._is_hurried.wait(LINGER_S)
            return item

    def _write(self, lines: list[bytes]) -> None:
        unreported = self._dropped - self._reported
        report = [self._describe_drop(unreported)] if unreported else []
        written = self._try([*report, *lines])
        if report and written:
            self._reported += unreported
        lost = len(lines) - max(0, written - len(report))
        with self._lock:
            self._dropped += lost
        self._bytes_out += sum(map(len, lines))

    def _try(self, lines: list[bytes]) -> int:
        done = 0
        with suppress(OSError):
            while done < len(lines):
                done += self._sink.write(lines[done:])
        return done


class StartBuffer:
    """Holds lines back until the first line is known, at most for `HOLD_US`; then passes them on."""

    def __init__(self, put: Callable[[bytes], None], *, is_holding: bool) -> None:
        self._put = put
        self._lock = threading.RLock()
        self._held: list[bytes] | None = [] if is_holding else None
        self._until_us = monotonic_us() + HOLD_US

    def put(self, line: bytes) -> None:
        """Pass *line* on, or hold it until `release`."""
        with self._lock:
            if self._held is None:
                self._put(line)
            elif monotonic_us() < self._until_us:
                self._held.append(line)
            else:
                self.release()
                self._put(line)

    def release(self, first: bytes = b"") -> None:
        """Pass *first* on, then the held lines, and hold no more."""
        with self._lock:
            held, self._held = self._held or [], None
            for line in (*([first] if first else ()), *held):
                self._put(line)


class DescriptorSink:
    """Writes lines to a file, a pipe or a terminal, through a duplicate of *descriptor*."""

    def __init__(self, descriptor: int) -> None:
        self._rest = b""  # the rest of a partly written line, which is written first
        try:
            self._descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
        except OSError:
            self._descriptor = -1  # closed from the start: every write fails, every line counts

    def write(self, lines: Sequence[bytes]) -> int:
        """Write all *lines* with as few system calls as possible."""
        self._finish_rest()
        data = b"".join(lines)
        sent = 0
        try:
            while sent < len(data):
                sent += self._write_some(data[sent:])
        except OSError:
            whole, begun = _count_whole(lines, sent)
            self._rest = begun
            done = whole + bool(begun)  # the rest of a partly written line follows later
            if not done:
                raise
            return done
        return len(lines)

    def close(self) -> None:
        """Close the duplicate."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _finish_rest(self) -> None:
        while self._rest:
            self._rest = self._rest[self._write_some(self._rest) :]

    def _write_some(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # Another process shares this pipe or terminal and made it non-blocking.
                waiter = select.poll()
                waiter.register(self._descriptor, select.POLLOUT)
                waiter.poll()


def _count_whole(lines: Sequence[bytes], sent: int) -> tuple[int, bytes]:
    """Return the number of complete lines in *sent* bytes, and the rest of a partly sent line."""
    for index, line in enumerate(lines):
        if sent < len(line):
            return index, line[sent:] if sent else b""
        sent -= len(line)
    return len(lines), b""


class DatagramSink:
    """Sends datagrams to the journal; one that is too large goes as a sealed memory file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        wait = struct.pack("@ll", SEND_LIMIT_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        with suppress(OSError):  # the journal takes large datagrams; the kernel may refuse
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * 1024 * 1024)

    def write(self, lines: Sequence[bytes]) -> int:
        """Send the first of *lines*, without a connection, so that a restart of the journal is safe."""
        try:
            self._socket.sendto(lines[0], self._path)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_as_file(lines[0])
        return 1

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send_as_file(self, data: bytes) -> None:
        descriptor = os.memfd_create("luad-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(descriptor, data)
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("@i", descriptor))]
            self._socket.sendmsg([], rights, 0, self._path)
        finally:
            os.close(descriptor)
