"""Routes records of other libraries, from `logging` and `warnings`, to luad's log.

Rule: all records from WARNING on, and none below.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

Say: TypeAlias = Callable[[dict[str, Any], str], None]


class StdlibRoute(logging.Handler):
    """Replaces the handlers of the root logger until `close` restores them."""

    def __init__(self, say: Say, *, has_callsite: bool) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._has_callsite = has_callsite
        root = logging.getLogger()
        self._before = (root.handlers[:], root.level)
        root.handlers[:] = [self]
        root.setLevel(logging.WARNING)
        logging.captureWarnings(capture=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as the event ``library.message``."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - a library may pass wrong arguments
            message = f"{record.msg!r} with wrong arguments: {error!r}"
        fields: dict[str, object] = {
            "event": "library.message",
            "logger": record.name,
            "message": message,
            "exc_info": record.exc_info,
        }
        if self._has_callsite:
            fields |= {
                "pathname": record.pathname,
                "lineno": record.lineno,
                "func_name": record.funcName,
            }
        self._say(fields, record.levelname.lower())

    def close(self) -> None:
        """Restore the root logger."""
        root = logging.getLogger()
        if self in root.handlers:
            root.handlers[:], level = self._before
            root.setLevel(level)
            logging.captureWarnings(capture=False)
        super().close()
