"""The exceptions of the SDK, by the names to catch."""

from __future__ import annotations

from luad.errors import (
    ConflictError,
    LuadError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from luad.sdk.not_retryable import NotRetryable

NotFound = NotFoundError
"""No job, run or user has that name."""

Unavailable = UnavailableError
"""luad cannot be reached, or cannot answer at the moment."""


class NameTaken(ConflictError):  # noqa: N818 - it reads well in `except NameTaken`
    """A job of that name already exists."""


class FileOwned(ConflictError):  # noqa: N818 - the same
    """The job is declared in a file, and only the file may change it."""


class InvalidSchedule(ValidationError):  # noqa: N818 - the same
    """The schedule is invalid."""


class WrongCall(ValidationError, TypeError):  # noqa: N818 - the same
    """A call has a keyword that it does not take, or lacks one that it needs."""


class NoAttribute(LuadError, AttributeError):  # noqa: N818 - the same
    """An object of the SDK does not have this attribute, or code must not assign it."""

    code = "no_attribute"


class ReadOnly(LuadError, TypeError):  # noqa: N818 - the same
    """Metadata of a job are read-only in place; a method writes them."""

    code = "read_only"


class NoJobError(LuadError, RuntimeError):
    """`current_job` was called outside of a run."""

    code = "no_job"


class HandlerNotImportable(LuadError):  # noqa: N818 - the same
    """luad could not import this function later."""

    code = "handler_not_importable"


class NoUser(LuadError, NotRetryable):  # noqa: N818 - the same
    """The job has no user."""

    code = "no_user"


class NotAwaited(LuadError, NotRetryable, TypeError, AttributeError):  # noqa: N818 - the same
    """A call was not awaited, so it has done nothing; the run fails."""

    code = "not_awaited"


class DeliveryFailed(LuadError):  # noqa: N818 - the same
    """A message did not arrive. *delivery* has the outcome on each channel."""

    code = "delivery_failed"

    def __init__(self, message: str, delivery: object = None, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.delivery = delivery


NO_FUNCTION = "LU301"
_MAX_SHOWN = 200
_CONFLICTS = {"name_taken": NameTaken, "file_owned": FileOwned}


def translated(error: Exception) -> Exception:
    """Return the exception of the SDK for an exception of the client."""
    if isinstance(error, ConflictError) and type(error) is ConflictError:
        kind = _CONFLICTS.get(error.code)
        if kind is not None:
            return kind(error.message, hint=error.hint, code=error.code)
    if isinstance(error, ValueError | TypeError | RecursionError | OverflowError):
        if isinstance(error, LuadError):
            return error
        reason = str(error)[:_MAX_SHOWN].encode("ascii", "backslashreplace").decode()
        hint = "pass plain texts and numbers; check $LUAD_URL and $LUAD_TOKEN"
        return ValidationError(f"the request cannot be sent: {reason}", hint=hint)
    errors = getattr(error, "errors", None)
    if isinstance(error, LuadError) and errors and getattr(error, "status", 0) == 422:
        if {each.get("code") for each in errors} == {NO_FUNCTION}:
            return HandlerNotImportable(error.message, hint=error.hint)
        pointers = [str(each.get("pointer", "")) for each in errors]
        about = [each for each in pointers if each.startswith(("#/schedule", "#/in"))]
        kind_of = InvalidSchedule if about else ValidationError
        return kind_of(error.message, hint=error.hint, errors=tuple(errors))
    return error
