"""Problems and exceptions: a user's mistake is a value, a failure of the system an exception.

Faults of luad itself are assertions and have no class. Rule: imports nothing of luad.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

TYPE_CHECKING = False  # an import of `typing` costs 9 ms in every handler's process
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class Severity(StrEnum):
    """An error keeps the file from loading; a warning is advice."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A user's mistake, with everything that is needed to correct it.

    *line* and *column* count from 1; 0 means the file as a whole. *end_column* is exclusive.
    *excerpt* holds the lines around the place as ``(number, text)``; *note* is shown beside the
    caret; *pointer* is the RFC 6901 path inside the document. *fix* is set if luad can correct the
    mistake: first column, end column (exclusive) and new text, all on *line*.
    """

    path: str
    line: int
    column: int
    code: str  # LU0xx YAML, LU1xx shape, LU2xx schedule, LU3xx handler, LU4xx across files, LU5xx advice, LU6xx users
    message: str
    help: str = ""
    severity: Severity = Severity.ERROR
    end_line: int = 0
    end_column: int = 0
    note: str = ""
    pointer: str = ""
    job: str = ""
    excerpt: tuple[tuple[int, str], ...] = ()
    fix: tuple[int, int, str] | None = field(default=None, compare=False)


class LuadError(Exception):
    """Base of every exception that luad raises on purpose.

    *code* is the stable word of the error tables (CLI and HTTP); *hint* says what to do.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # so that tracebacks of handlers show it


class UsageError(LuadError):
    """The arguments of a call, or the settings, are not valid."""

    code = "usage"


class ValidationError(LuadError):
    """The data that a client sent is not valid.

    *errors* are the single mistakes, as in the HTTP answer: ``pointer``, ``code``, ``detail``, ``hint``.
    """

    code = "validation"

    def __init__(
        self, message: str, *, hint: str = "", errors: tuple[dict[str, str], ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.errors = errors


class NotFoundError(LuadError):
    """A job, run or user of that name does not exist."""

    code = "not_found"

    def __init__(self, message: str, *, hint: str = "", suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.suggestions = suggestions


class ConflictError(LuadError):
    """The state forbids the request. *code* is narrower where the caller can act on it."""

    code = "conflict"

    def __init__(self, message: str, *, hint: str = "", code: str = "conflict") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class UnavailableError(LuadError):
    """The daemon cannot be reached, or cannot answer now."""

    code = "unavailable"


class StoreUnavailableError(UnavailableError):
    """The store cannot be read or written at the moment: disk full, I/O error, locked."""

    code = "store_unavailable"


class StoreTooNewError(LuadError):
    """A newer luad wrote the database; a change by this version could lose data."""

    code = "store_too_new"


class StoreMovedError(LuadError):
    """The store was moved to another database; this one does not serve."""

    code = "store_moved"


class AlreadyRunningError(LuadError):
    """Another daemon uses the state folder. *pid* is its process id, if it could be read."""

    code = "already_running"

    def __init__(self, message: str, *, hint: str = "", pid: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class RefusedError(LuadError):
    """The daemon refused a request, for a reason that has no class of its own.

    *status* is the HTTP status; *errors* are the single mistakes of a request that is not valid,
    each with ``pointer``, ``code``, ``detail`` and ``hint``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        hint: str = "",
        errors: Sequence[Mapping[str, object]] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status
        self.errors = tuple(errors)


def error_from_problem(problem: Mapping[str, Any], status: int) -> LuadError:
    """Return the exception for an RFC 9457 document that came with the HTTP *status*."""
    code = str(problem.get("code") or "")
    message = str(problem.get("detail") or problem.get("title") or f"the daemon answered {status}")
    hint = str(problem.get("hint") or "")
    match status:
        case 404:
            names = tuple(str(name) for name in problem.get("suggestions") or ())
            return NotFoundError(message, hint=hint, suggestions=names)
        case 409:
            return ConflictError(message, hint=hint, code=code or "conflict")
        case 503:
            unavailable = UnavailableError(message, hint=hint)
            unavailable.code = code or unavailable.code
            return unavailable
        case _:
            fallback = {401: "unauthenticated", 403: "forbidden", 422: "validation"}
            return RefusedError(
                message,
                code=code or fallback.get(status, "error"),
                status=status,
                hint=hint,
                errors=[item for item in problem.get("errors") or () if isinstance(item, dict)],
            )
