"""A sign of life on standard error while something takes longer than a second.

Room rule: knows terminals and time, not jobs. Without a terminal, with --json and with -q it is silent.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from luad.cli.terminal.output import clean, columns_of
from luad.clock import monotonic_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luad.cli.terminal.output import Output

PATIENCE_SECONDS: Final = 1.0
_ERASE: Final = "\r\x1b[K"
_is_busy = threading.Lock()
"""One sign at a time: what is asked of the daemon during a longer task is a part of that task."""


class LiveLine:
    """A line at the bottom of the terminal that is written again and again."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self.is_shown = not (out.is_json or out.is_quiet) and sys.stderr.isatty()
        self._text = ""

    def show(self, text: str) -> None:
        """Put *text* in the place of what the line says; an empty one takes the line away."""
        if not self.is_shown or text == self._text:
            return
        self._text = text
        text = self._out.plain(clean(text))
        while columns_of(text) >= self._out.width:
            text = text[:-1]
        print(_ERASE + text, end="", file=sys.stderr, flush=True)


@contextmanager
def busy(out: Output, text: str | Callable[[], str]) -> Iterator[None]:
    """Say on a terminal what goes on in the block, and since when, once it takes over a second."""
    line = LiveLine(out)
    if not line.is_shown or not _is_busy.acquire(blocking=False):
        yield
        return
    is_over = threading.Event()
    started = monotonic_us()

    def tell() -> None:
        while not is_over.wait(PATIENCE_SECONDS):
            seconds = (monotonic_us() - started) // 1_000_000
            line.show(f"{text if isinstance(text, str) else text()} ... {seconds} s")

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_over.set()
        teller.join()
        line.show("")
        _is_busy.release()
