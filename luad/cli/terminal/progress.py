"""The progress of long work, on standard error: on a terminal a line that is rewritten, else a line now and then.

Rule: it knows terminals and time, not jobs. It writes nothing with --json and with -q.
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

TIMEOUT_SECONDS: Final = 1.0
LINE_SECONDS: Final = 5.0
"""How often there is a new line where no line can be rewritten."""
_ERASE: Final = "\r\x1b[K"
_tasks: Final[list[object]] = []
"""The tasks in progress. The first has the line: a request during a longer task shows no line of its own."""


class LiveLine:
    """The last line of the terminal, which each call overwrites."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self.is_shown = not (out.is_json or out.is_quiet) and sys.stderr.isatty()
        self._text = ""

    def has_room_for(self, text: str) -> bool:
        """Return True if the line holds all of *text*."""
        return columns_of(text) < self._out.width or not text

    def show(self, text: str) -> None:
        """Replace the text of the line by *text*; an empty one clears the line."""
        if not self.is_shown or text == self._text:
            return
        self._text = text
        text = self._out.plain(clean(text))
        if not self.has_room_for(text):
            mark = self._out.plain("…")[:1]
            while not self.has_room_for(text + mark):
                text = text[:-1]
            text += mark
        print(_ERASE + text, end="", file=sys.stderr, flush=True)


@contextmanager
def progress(out: Output, text: str | Callable[[], str]) -> Iterator[None]:
    """Show *text* and the elapsed seconds during the block, once it takes over a second (without a terminal: five)."""
    line = LiveLine(out)
    if out.is_json or out.is_quiet:
        yield
        return
    pause_s = TIMEOUT_SECONDS if line.is_shown else LINE_SECONDS
    is_over = threading.Event()
    started = monotonic_us()

    def write_line() -> None:
        while not is_over.wait(pause_s):
            seconds = (monotonic_us() - started) // 1_000_000
            words = f"{text if isinstance(text, str) else text()} ... {seconds} s"
            if line.is_shown:
                line.show(words)
            else:
                print(out.plain(clean(words)), file=sys.stderr, flush=True)

    # A time limit may raise an error at any step, so nothing is begun outside of the block that ends it.
    writer, task = threading.Thread(target=write_line, name="progress", daemon=True), object()
    try:
        try:
            _tasks.append(task)
            if _tasks[0] is task:
                writer.start()
            yield
        finally:
            is_over.set()
            if writer.is_alive():
                writer.join()
                line.show("")
    finally:
        if task in _tasks:
            _tasks.remove(task)
        is_over.set()
