"""The outcome of a handler's call as values: its result as JSON, its exception as text.

Rule: it must not fail for any result or exception, and limits the size of everything.
"""

from __future__ import annotations

import json
import os
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from luad.runner.result import NotJsonError, shorten, to_json, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_MAX_MESSAGE: Final = 4_096
_MAX_TRACEBACK: Final = 16_384
_PREVIEW: Final = 4_096  # of a result that is too long
_LUAD: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep
_OUR_FILES: Final = (os.path.dirname(__file__) + os.sep, "<frozen importlib", "<frozen runpy")


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as three texts."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a handler's call.

    ``exited`` is `SystemExit` with *exit_code*; ``interrupted`` means that a stop ended the handler.
    *result_omitted* is the reason why the result is missing. *is_retryable* is false for a failure that
    a retry cannot cure. *left_tasks* names the asyncio tasks that an async handler left running.
    """

    kind: Literal["returned", "raised", "not_started", "exited", "interrupted"]
    result_json: str | None = None
    is_result_truncated: bool = False
    result_omitted: str = ""
    exit_code: int | None = None
    failure: Failure | None = None
    is_retryable: bool = True
    left_tasks: tuple[str, ...] = ()


def returned(value: object, limit: int) -> Outcome:
    """Return the outcome of a handler that returned *value*; *limit* is in bytes of JSON.

    A JSON string with its beginning replaces a longer result. A value that JSON cannot express is left out,
    and the run still succeeds, because the work is done.
    """
    try:
        text = to_json(value)
    except NotJsonError as error:
        return Outcome("returned", result_omitted=str(error))
    if len(text.encode()) <= limit:
        return Outcome("returned", text)
    return Outcome("returned", json.dumps(text[:_PREVIEW]), is_result_truncated=True)


def describe(error: BaseException) -> Failure:
    """Return *error* as texts of limited size, with a traceback without luad's own frames."""
    name = type_name(type(error))
    try:
        formatted = traceback.TracebackException(type(error), error, error.__traceback__)
        _trim(formatted, set())
        message = str(formatted) or name
        text = "".join(formatted.format())
    except BaseException as second:  # noqa: BLE001 - the exception's own methods run in here
        return Failure(name, f"<the message could not be made: {type_name(type(second))}>")
    return Failure(name, shorten(message, _MAX_MESSAGE), shorten(text, _MAX_TRACEBACK))


def describe_raised(error: BaseException) -> Failure:
    """Return *error* of a handler as `describe` does; an error that luad itself raises is its message alone.

    The failed command of `luad.handlers.shell` is such an error: a stack of luad's own code helps no reader.
    """
    failure = describe(error)
    if not failure.type.startswith("luad."):
        return failure
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    if files and all(each.startswith(_LUAD) or _is_internal(each) for each in files):
        return Failure(failure.type, failure.message)
    return failure


def traceback_of(trace: TracebackType | None) -> str:
    """Return the stack of a handler at the time of its interruption."""
    stack = traceback.extract_tb(trace)
    return shorten("".join(traceback.format_list(list(_user_frames(stack)))), _MAX_TRACEBACK)


def _trim(formatted: traceback.TracebackException, seen: set[int]) -> None:
    """Remove luad's own frames from *formatted* and from all chained exceptions."""
    if id(formatted) in seen:
        return
    seen.add(id(formatted))
    formatted.stack[:] = list(_user_frames(formatted.stack))
    chained = [formatted.__cause__, formatted.__context__, *(formatted.exceptions or ())]
    for other in chained:
        if other is not None:
            _trim(other, seen)


def _user_frames(stack: traceback.StackSummary) -> Iterator[traceback.FrameSummary]:
    """Yield the frames of *stack* from the first one of the user on, without luad's own."""
    is_inside = False
    for frame in stack:
        is_inside = is_inside or not _is_internal(frame.filename)
        if is_inside and not frame.filename.startswith(_OUR_FILES):
            yield frame


def _is_internal(filename: str) -> bool:
    return filename.startswith(_OUR_FILES) or f"{os.sep}asyncio{os.sep}" in filename
