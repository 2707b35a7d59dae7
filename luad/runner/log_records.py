"""Converts log records of a handler to lines.

Rule: it must not fail for any record, and limits the size of everything.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Final

from luad.runner.outcome import describe
from luad.runner.result import depth_of, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.runner.capture import Line

_MAX_MESSAGE: Final = 16_384
_MAX_EXTRA: Final = 2_048
_MAX_EXTRAS: Final = 32
_MAX_EXTRA_DEPTH: Final = 32  # the line around it may be twice as deep
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
}


class RecordHandler(logging.Handler):
    """Passes each record to *send*, as a line; without *send* it drops them."""

    def __init__(self, send: Callable[[Line], None] | None = None) -> None:
        super().__init__()
        self.send = send
        self.is_configured = False  # by `logging.basicConfig`

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record*; an error goes to stderr, as with other handlers of `logging`."""
        if self.send is None:
            return
        try:
            self.send(record_line(record, self.formatter))
        except Exception:  # noqa: BLE001 - as handlers of `logging` do
            self.handleError(record)


def record_line(record: logging.LogRecord, formatter: logging.Formatter | None = None) -> Line:
    """Return *record* as a line; its extras and its exception have keys of their own."""
    text = _message(record)
    if formatter is not None:
        plain = copy(record)  # its exception has a key of its own
        plain.exc_info = plain.exc_text = plain.stack_info = None
        plain.msg, plain.args = text, ()
        text = formatter.format(plain)
    line: Line = {
        "ts": int(record.created * 1000),
        "stream": "log",
        "level": level_name(record.levelno),
        "logger": record.name,
        "message": shorten(text, _MAX_MESSAGE),
    }
    if extras := _extras(record):
        line["extras"] = extras
    if record.exc_info and record.exc_info[1] is not None:
        line["exception"] = describe(record.exc_info[1]).traceback
    if record.stack_info:
        line["stack"] = shorten(str(record.stack_info), _MAX_MESSAGE)
    return line


def level_name(number: int) -> str:
    """Return the standard level at or below *number*, in lower case."""
    for floor, name in ((50, "critical"), (40, "error"), (30, "warning"), (20, "info")):
        if number >= floor:
            return name
    return "debug"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - wrong arguments must not cost the line
        return f"{record.msg!s} (its arguments do not match)"


def _extras(record: logging.LogRecord) -> dict[str, object]:
    given = [(key, value) for key, value in record.__dict__.items() if key not in _STANDARD]
    return {str(key): _plain(value) for key, value in given[:_MAX_EXTRAS]}


def _plain(value: object) -> object:
    """Return *value* as JSON of limited size."""
    if value is None or isinstance(value, bool):
        return value
    text = "<cannot be shown>"
    with suppress(Exception):
        if isinstance(value, str):
            return shorten(value, _MAX_EXTRA)
        text = json.dumps(value, allow_nan=False, default=repr)
        is_bounded = len(text) <= _MAX_EXTRA and depth_of(text) <= _MAX_EXTRA_DEPTH
        return json.loads(text) if is_bounded else shorten(text, _MAX_EXTRA)
    with suppress(Exception):
        text = shorten(repr(value), _MAX_EXTRA)
    return text
