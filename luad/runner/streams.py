"""Standard output and standard error of a run, which behave like those of a Python program on a pipe.

Rule: made in the process of the run, once descriptors 1 and 2 are the pipes. No text stays in a buffer, as
with ``PYTHONUNBUFFERED=1``, so that the log has all text that was printed before a time limit. But each
`print` reaches the pipe in one piece.
"""

from __future__ import annotations

import builtins
import gc
import io
import sys
from contextlib import suppress
from typing import Any, Final

_BUFFERED: Final = (io.BufferedWriter, io.BufferedRandom)
_print: Final = print


class RunStream(io.TextIOWrapper):
    """A text stream that does not buffer, unless the handler reconfigures it."""

    def write(self, text: str, /) -> int:
        """Write *text*; after ``reconfigure(write_through=False)`` it stays in the buffer."""
        count = super().write(text)
        if self.write_through:
            self.flush()
        return count


def print_at_once(
    *values: object,
    sep: Any = " ",
    end: Any = "\n",
    file: Any = None,
    flush: bool = False,
) -> None:
    """Print as Python does, but write the whole text to a `RunStream` in one piece.

    Python's own `print` writes values, spaces and the line end one after the other. On a stream that does not
    buffer, it would mix the lines of several threads and processes.
    """
    stream = sys.stdout if file is None else file
    is_usual = isinstance(sep, str | None) and isinstance(end, str | None)
    if type(stream) is not RunStream or not is_usual:
        _print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    text = (" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end)
    stream.write(text)
    if flush:
        stream.flush()


def open_streams() -> None:
    """Set `sys.stdout`, `sys.stderr`, `sys.__stdout__` and `sys.__stderr__`."""
    print_at_once.__name__ = print_at_once.__qualname__ = "print"
    print_at_once.__module__ = "builtins"
    builtins.print = print_at_once
    # Both names hold the stream: a handler that replaces `sys.stdout` by a wrapper around its
    # buffer would otherwise close that buffer.
    sys.stdout = sys.__stdout__ = _open_stream(1, "<stdout>", is_line_buffered=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _open_stream(2, "<stderr>", is_line_buffered=True)  # type: ignore[misc]


def flush_files() -> None:
    """Flush all open files of this process, as the interpreter does at its end."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with suppress(BaseException):
            stream.flush()  # type: ignore[union-attr]
    # `io.IOBase` would be an abstract base class, which takes a millisecond to answer about all objects.
    objects = gc.get_objects()
    texts = [each for each in objects if issubclass(type(each), io.TextIOWrapper)]
    buffers = [each for each in objects if issubclass(type(each), _BUFFERED)]
    for file in (*texts, *buffers):
        with suppress(BaseException):
            if not file.closed:
                file.flush()


def _open_stream(descriptor: int, name: str, *, is_line_buffered: bool) -> RunStream:
    raw = io.FileIO(descriptor, "wb", closefd=False)
    raw.name = name
    stream = RunStream(
        io.BufferedWriter(raw),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=is_line_buffered,
        write_through=True,
    )
    stream.mode = "w"  # type: ignore[misc] # as the interpreter's own
    return stream
