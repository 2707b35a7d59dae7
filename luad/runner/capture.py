"""Collects the output of a run within limits: its head, its tail, and the size of the gap.

Rule: bytes in, lines out; the keeper reads the pipes and passes the time.

The head is split into lines at once, so that users can follow it. Later output passes through a ring
buffer of raw chunks, which is cheap: a handler that prints 100 MB does not slow the keeper down. The ring
buffer is split into lines when the run has ended.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, TypeAlias

Line: TypeAlias = dict[str, Any]

_MIN_COST: Final = 16
"""A line counts as at least this many bytes, so that the limit also stops empty lines."""


class LineSplitter:
    """Splits bytes into lines without their ends, and lines above *limit* bytes into pieces."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._is_shown = False  # the beginning of the current line was already returned
        self.partial = b""
        self.is_old = False  # the partial line existed at the previous check

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that *data* completes."""
        *whole, partial = (self.partial + data).split(b"\n")
        lines: list[bytes] = []
        for line in whole:
            if not self._is_shown or line not in (b"", b"\r"):
                lines += self._pieces(line)
            self._is_shown = False
        *pieces, partial = self._pieces(partial)
        if whole or pieces or not self.partial:
            self.is_old = False
        self.partial = partial
        return lines + pieces

    def rest(self) -> list[bytes]:
        """Return the bytes after the last line end, as one line; empty if there are none."""
        partial, self.partial = self.partial, b""
        return [partial] if partial else []

    def show(self) -> list[bytes]:
        """Return the unfinished line so far, without an incomplete character."""
        end = len(self.partial) - _half_character(self.partial)
        shown, self.partial = self.partial[:end], self.partial[end:]
        self._is_shown = self._is_shown or bool(shown)
        return [shown] if shown else []

    def _pieces(self, line: bytes) -> list[bytes]:
        pieces = []
        while len(line) > self._limit:
            end = self._limit
            # A character of UTF-8 has at most four bytes; do not split one.
            while end > self._limit - 3 and line[end] & 0xC0 == 0x80:
                end -= 1
            pieces.append(line[:end])
            line = line[end:]
        return [*pieces, line]


def _half_character(data: bytes) -> int:
    """Return the number of bytes of an incomplete UTF-8 character at the end of *data*."""
    for size in range(1, min(3, len(data)) + 1):
        byte = data[-size]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return size if length > size else 0
    return 0


class Output:
    """Collects the output of one run: up to *limit* bytes of its head, and as much of its tail."""

    def __init__(self, limit: int, line_limit: int) -> None:
        self._limit = limit
        self._line_limit = line_limit
        self._head_left = limit
        self._splitters: dict[str, LineSplitter] = {}
        self._ready: list[Line] = []
        # The tail: raw bytes of a stream, or a log record, with its size and time.
        self._ring: deque[tuple[str, bytes | Line, int, int]] = deque()
        self._ring_size = 0
        self.dropped_bytes = 0

    def feed(self, stream: str, data: bytes, at: int) -> None:
        """Add *data*, which *stream* wrote at the instant *at*."""
        if self._head_left <= 0:
            self._push(stream, data, len(data), at)
            return
        lines = self._splitter(stream).feed(data)
        for index, line in enumerate(lines):
            self._head_left -= _cost(line)
            self._ready.append(_line(stream, line, at))
            if self._head_left <= 0:
                self._close_head(stream, lines[index + 1 :], at)
                return

    def feed_record(self, record: Line, size: int) -> None:
        """Add a log record, whose JSON has *size* bytes."""
        if self._head_left <= 0:
            self._push("log", record, size, record["ts"])
            return
        self._ready.append(record)
        self._head_left -= max(size, _MIN_COST)
        if self._head_left <= 0:
            self._close_head("", [], record["ts"])

    @property
    def has_partial(self) -> bool:
        """True if the head has an unfinished line."""
        return self._head_left > 0 and any(each.partial for each in self._splitters.values())

    def show_partial(self, at: int) -> None:
        """Complete the lines that were already unfinished at the previous call."""
        for stream, splitter in self._splitters.items():
            shown = splitter.show() if splitter.is_old else []
            splitter.is_old = bool(splitter.partial)
            for line in shown:
                self._head_left -= _cost(line)
                self._ready.append(_line(stream, line, at))
        if self._head_left <= 0:
            self._close_head("", [], at)

    def take(self) -> list[Line]:
        """Return the lines of the head that were completed since the previous call."""
        ready, self._ready = self._ready, []
        return ready

    def finish(self, at: int) -> list[Line]:
        """Return the rest of the head, a line about the gap if there is one, and the tail."""
        for stream, splitter in self._splitters.items():
            self._ready += [_line(stream, line, at) for line in splitter.rest()]
        tail = self._tail_lines(at)
        lines = self.take()
        if self.dropped_bytes:
            gap = f"{self.dropped_bytes:,} bytes of output were left out here"
            lines.append(system_line(gap, at, level="warning"))
        return lines + tail

    def _splitter(self, stream: str) -> LineSplitter:
        return self._splitters.setdefault(stream, LineSplitter(self._line_limit))

    def _close_head(self, stream: str, lines: list[bytes], at: int) -> None:
        """Move the bytes that are not yet lines to the ring buffer, which takes all later output."""
        for name, splitter in self._splitters.items():
            partial, splitter.partial = splitter.partial, b""
            rest = b"".join(line + b"\n" for line in lines) if name == stream else b""
            if rest + partial:
                self._push(name, rest + partial, len(rest + partial), at)

    def _push(self, stream: str, content: bytes | Line, size: int, at: int) -> None:
        self._ring.append((stream, content, size, at))
        self._ring_size += size
        while self._ring and self._ring_size - self._ring[0][2] >= self._limit:
            oldest = self._ring.popleft()
            self._ring_size -= oldest[2]
            self.dropped_bytes += oldest[2]

    def _tail_lines(self, at: int) -> list[Line]:
        self._trim_ring()
        splitters: dict[str, LineSplitter] = {}
        costed: list[tuple[Line, int]] = []
        for stream, content, size, seen_at in self._ring:
            if isinstance(content, dict):
                costed.append((content, max(size, _MIN_COST)))
                continue
            splitter = splitters.setdefault(stream, LineSplitter(self._line_limit))
            costed += [(_line(stream, raw, seen_at), _cost(raw)) for raw in splitter.feed(content)]
        for stream, splitter in splitters.items():
            costed += [(_line(stream, raw, at), _cost(raw)) for raw in splitter.rest()]
        return self._last_lines(costed)

    def _trim_ring(self) -> None:
        """Shorten the oldest chunk, so that the tail keeps the limit."""
        excess = self._ring_size - self._limit
        if excess <= 0:
            return
        stream, content, size, at = self._ring.popleft()
        if isinstance(content, bytes):
            self._ring.appendleft((stream, content[excess:], size - excess, at))
            self.dropped_bytes += excess
        else:
            self.dropped_bytes += size

    def _last_lines(self, costed: list[tuple[Line, int]]) -> list[Line]:
        """Return the latest lines within the limit; a short line counts more than its bytes."""
        left = self._limit + self._line_limit  # the bytes themselves are already within the limit
        for index in range(len(costed) - 1, -1, -1):
            left -= costed[index][1]
            if left < 0:
                self.dropped_bytes += sum(
                    len(line["message"]) + 1 for line, _ in costed[: index + 1]
                )
                return [line for line, _ in costed[index + 1 :]]
        return [line for line, _ in costed]


def system_line(message: str, at: int, *, level: str = "info") -> Line:
    """Return a line from luad itself for the log of a run."""
    return {"ts": at, "stream": "system", "level": level, "logger": "luad", "message": message}


def checked_record(value: object) -> Line | None:
    """Return *value* as a line; None if it is not one, because a handler can write anything."""
    if not isinstance(value, dict) or not isinstance(value.get("ts"), int):
        return None
    texts = ("level", "logger", "message")
    if not all(isinstance(value.get(key), str) for key in texts):
        return None
    kept = ("ts", *texts, "extras", "exception", "stack")
    return {"stream": "log", **{key: value[key] for key in kept if key in value}}


def _line(stream: str, raw: bytes, at: int) -> Line:
    text = raw.removesuffix(b"\r").decode("utf-8", "replace")
    return {"ts": at, "stream": stream, "level": "info", "logger": "", "message": text}


def _cost(line: bytes) -> int:
    return max(len(line) + 1, _MIN_COST)
