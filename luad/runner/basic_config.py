"""`logging.basicConfig` in a run: its level and its format take effect, and each record appears once.

The standard function does nothing if the root logger has a handler, and in a run it has luad's handler.
So a run gets a function that calls the standard one, and then replaces the handlers that it made for the
standard streams with luad's handler.

Rule: the standard function checks the arguments; this module repeats none of its code.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luad.runner.log_records import RecordHandler


def route_basic_config(records: RecordHandler) -> Callable[[], None]:
    """Let `logging.basicConfig` configure *records*; return a function that undoes this."""
    standard = logging.basicConfig

    @wraps(standard)
    def basic_config(**chosen: Any) -> None:
        if records.is_configured and not chosen.get("force"):
            return  # like the standard function: only the first call has an effect
        root = logging.getLogger()
        before = root.handlers[:]
        formatters = [each.formatter for each in chosen.get("handlers") or () if each.formatter]
        root.handlers.clear()
        try:
            standard(**{**chosen, "force": False})
            made = root.handlers[:]
        finally:
            root.handlers[:] = [records] if chosen.get("force") else before
        for handler in made:
            if not _writes_to_a_standard_stream(handler):
                root.addHandler(handler)
            elif "format" in chosen or handler.formatter in formatters:
                records.setFormatter(handler.formatter)
        records.is_configured = True

    logging.basicConfig = basic_config

    def undo() -> None:
        logging.basicConfig = standard
        records.is_configured = False
        records.setFormatter(None)

    return undo


@contextmanager
def records_to(records: RecordHandler, level: str) -> Iterator[None]:
    """Send log records from *level* on to *records*, and restore logging afterwards."""
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    root.addHandler(records)
    root.setLevel(level.upper())
    undo = route_basic_config(records)
    try:
        yield
    finally:
        undo()
        root.handlers[:] = handlers
        root.setLevel(before)


def _writes_to_a_standard_stream(handler: logging.Handler) -> bool:
    """Return True if the output of *handler* would appear twice in the log of the run."""
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in streams
