"""How a handler's call ended, as values: its result as JSON, its exception as text.

Room rule: must not fail whatever a handler returns or raises, and bounds everything.
"""

from __future__ import annotations

import json
import math
import os
import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_MAX_DEPTH: Final = 64  # as deep as metadata may be; readers of the result recurse as well
_MAX_NAME: Final = 256
_MAX_MESSAGE: Final = 4_096
_MAX_TRACEBACK: Final = 16_384
_PREVIEW: Final = 4_096  # of a result that is too long
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_OUR_FILES: Final = (os.path.dirname(__file__) + os.sep, "<frozen importlib", "<frozen runpy")  # noqa: PTH120 - compared with co_filename, which is a str


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as three texts."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the call of a handler ended.

    ``exited`` is `SystemExit` with *exit_code*; ``interrupted`` means that the handler was
    stopped from outside and let that happen.
    """

    kind: Literal["returned", "raised", "not_started", "exited", "interrupted"]
    result_json: str | None = None
    is_result_truncated: bool = False
    exit_code: int | None = None
    failure: Failure | None = None


class ResultError(TypeError):
    """A handler returned something that is not JSON."""


def returned(value: object, limit: int) -> Outcome:
    """The outcome of a handler that returned *value*; *limit* is in bytes of JSON.

    A longer result is replaced by a JSON string with its beginning. Raises `ResultError` when
    *value* is not JSON.
    """
    text = _to_json(value)
    if len(text.encode()) <= limit:
        return Outcome("returned", text)
    return Outcome("returned", json.dumps(text[:_PREVIEW]), is_result_truncated=True)


def describe(error: BaseException) -> Failure:
    """*error* as texts fit for showing: bounded, its traceback without luad's own frames."""
    name = _type_name(type(error))
    try:
        formatted = traceback.TracebackException(type(error), error, error.__traceback__)
        _trim(formatted, set())
        message = str(formatted) or name
        text = "".join(formatted.format())
    except BaseException as second:  # noqa: BLE001 - the exception's own methods run in here
        return Failure(name, f"<the message could not be made: {_type_name(type(second))}>")
    return Failure(name, shorten(message, _MAX_MESSAGE), shorten(text, _MAX_TRACEBACK))


def shorten(text: str, limit: int) -> str:
    """*text* with its middle left out when it has more than *limit* characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def traceback_of(trace: TracebackType | None) -> str:
    """Where a handler was when it was interrupted."""
    stack = traceback.extract_tb(trace)
    return shorten("".join(traceback.format_list(list(_theirs(stack)))), _MAX_TRACEBACK)


def _to_json(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ResultError(f"the result is nested more than {_MAX_DEPTH} levels deep") from None
    except Exception as error:  # noqa: BLE001 - a value's own methods run in here
        raise ResultError(
            f"a handler returns JSON or nothing, but {_reason(value, error)}"
        ) from None
    if depth_of(text) > _MAX_DEPTH:
        raise ResultError(f"the result is nested more than {_MAX_DEPTH} levels deep")
    # Lone surrogates have no place in UTF-8.
    return text.encode("utf-8", "replace").decode()


def read_json(data: bytes) -> Any:
    """The value of *data*, which a handler has sent. Raises ValueError when it is no JSON, or so deep that
    those who look through it would not come back."""
    text = data.decode()
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if depth_of(text) > _MAX_DEPTH:
        raise ValueError("it is nested too deep")
    return value


def depth_of(text: str) -> int:
    """Return how many levels deep *text*, a JSON value, is nested; 0 when it is certainly few."""
    if text.count("[") + text.count("{") <= _MAX_DEPTH // 2:
        return 0
    depth = deepest = 0
    for character in re.findall(r"[\[\]{}]", _STRINGS.sub("", text)):
        depth += 1 if character in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _reason(value: object, error: Exception) -> str:
    try:
        return next(_misfits(value, "result"), f"the result is not JSON: {error}")
    except RecursionError:
        return "the result contains itself"


def _misfits(value: Any, path: str) -> Iterator[str]:
    """Sentences about the parts of *value* that JSON cannot say."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str | int | float | None):
                yield from _misfits(item, f"{path}[{key!r}]")
            else:
                yield f"a key of `{path}` is of type {_type_name(type(key))}"
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _misfits(item, f"{path}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"`{path}` is {value}, which JSON has no word for"
    elif not isinstance(value, str | int | None):
        yield f"`{path}` is of type {_type_name(type(value))}"


def _type_name(kind: type) -> str:
    # Asked past a metaclass, which may be the user's.
    module, name = (type.__getattribute__(kind, key) for key in ("__module__", "__qualname__"))
    return shorten(name if module in ("builtins", "__main__") else f"{module}.{name}", _MAX_NAME)


def _trim(formatted: traceback.TracebackException, seen: set[int]) -> None:
    """Take luad's own frames out of *formatted* and of everything chained to it."""
    if id(formatted) in seen:
        return
    seen.add(id(formatted))
    formatted.stack[:] = list(_theirs(formatted.stack))
    chained = [formatted.__cause__, formatted.__context__, *(formatted.exceptions or ())]
    for other in chained:
        if other is not None:
            _trim(other, seen)


def _theirs(stack: traceback.StackSummary) -> Iterator[traceback.FrameSummary]:
    """The frames of *stack* that are not luad's; asyncio's only where they lead to others."""
    is_inside = False
    for frame in stack:
        is_inside = is_inside or not _is_plumbing(frame.filename)
        if is_inside and not frame.filename.startswith(_OUR_FILES):
            yield frame


def _is_plumbing(filename: str) -> bool:
    return filename.startswith(_OUR_FILES) or f"{os.sep}asyncio{os.sep}" in filename
