"""Sends what handlers print and log to their runs, and the rest to the process's own log.

Rule: the current run is that of the context variable; descriptors 1 and 2 are the process's own log.
"""

from __future__ import annotations

import builtins
import io
import logging
import os
import sys
from typing import TYPE_CHECKING, Final

from luad.runner.basic_config import route_basic_config
from luad.runner.log_records import RecordHandler, level_name
from luad.runner.shared.run import current_run
from luad.runner.streams import RunStream, print_at_once

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from luad.runner.capture import Line
    from luad.runner.shared.run import SharedRun

_NAMES: Final = {1: "stdout", 2: "stderr"}
_forked = False


class RoutedBytes(io.BufferedIOBase):
    """Bytes for *descriptor*: those of a run go to that run."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stream = _NAMES[descriptor]
        self.name = f"<{self._stream}>"
        self.mode = "wb"

    def write(self, data: ReadableBuffer, /) -> int:
        """Write *data*, and return its size."""
        raw = bytes(data)
        run = None if _forked else current_run.get()
        if run is None or not run.write(self._stream, raw):
            write_own(self._descriptor, raw)
        return len(raw)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the process's own log, for child processes."""
        return self._descriptor


class RoutedRecords(RecordHandler):
    """Sends log records to their runs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record* to its run, or write it to the process's own log."""
        run = None if _forked else current_run.get()
        if run is None or run.is_over:
            name = level_name(record.levelno)
            write_own(
                2, f"{name} {record.name}: {record.getMessage()}\n".encode("utf-8", "replace")
            )
        elif record.levelno >= run.level:
            super().emit(record)


def _send(line: Line) -> None:
    run = current_run.get()
    if run is not None:
        run.write_record(line)


def write_own(descriptor: int, data: bytes) -> None:
    """Write *data* to the process's own log."""
    while data:
        data = data[os.write(descriptor, data) :]


def route_output() -> None:
    """Route `print`, `sys.stdout`, `sys.stderr` and `logging`."""
    print_at_once.__name__ = print_at_once.__qualname__ = "print"
    print_at_once.__module__ = "builtins"
    builtins.print = print_at_once
    sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc] # both names, as in a process of its own
    sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc]
    records = RoutedRecords(_send)
    logging.basicConfig(level=logging.INFO, handlers=[records], force=True)
    records.setFormatter(None)  # a record is a line with fields, not a text
    route_basic_config(records)
    os.register_at_fork(after_in_child=_note_fork)


def admit_level(run: SharedRun) -> None:
    """Let records of the level of *run* pass; other runs still drop those below their own level."""
    root = logging.getLogger()
    if root.level > run.level:
        root.setLevel(run.level)


def _note_fork() -> None:
    global _forked  # noqa: PLW0603 - a forked child has no courier that could fetch its lines
    _forked = True


def _stream(descriptor: int) -> RunStream:
    stream = RunStream(
        RoutedBytes(descriptor), encoding="utf-8", errors="backslashreplace", write_through=True
    )
    stream.mode = "w"  # type: ignore[misc] # as the interpreter's own
    return stream


def is_forked() -> bool:
    """Return True in a process that a handler has forked."""
    return _forked
