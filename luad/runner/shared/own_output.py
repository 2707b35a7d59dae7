"""The output of a shared process that belongs to no run: of C code, child processes and unknown threads.

Rule: bytes in, lines out; no flood passes.
"""

from __future__ import annotations

from typing import Final

from luad.runner.capture import LineSplitter

_LINE: Final = 4_096
_BYTES: Final = 65_536
"""The most that passes in one second."""
_PERIOD_MS: Final = 1_000


class OwnOutput:
    """Splits *stream* into lines, and drops what exceeds `_BYTES` a second."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self._splitter = LineSplitter(_LINE)
        self._period_ms = 0
        self._left = _BYTES
        self._dropped = 0

    def feed(self, data: bytes, now_ms: int) -> list[str]:
        """Return the lines that *data* completes and that pass."""
        lines: list[str] = []
        if now_ms - self._period_ms >= _PERIOD_MS:
            lines += self._gap()
            self._period_ms, self._left = now_ms, _BYTES
        if self._left <= 0:
            self._dropped += len(data)
            return lines
        self._left -= len(data)
        return lines + [_text(each) for each in self._splitter.feed(data)]

    def finish(self) -> list[str]:
        """Return the last line, and a line about what was dropped."""
        return [_text(each) for each in self._splitter.rest()] + self._gap()

    def _gap(self) -> list[str]:
        dropped, self._dropped = self._dropped, 0
        return [f"{dropped:,} bytes were left out here"] if dropped else []


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")
