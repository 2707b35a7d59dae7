"""Converts a handler's return value to JSON, or gives the reason why that is impossible.

Rule: it must not fail for any value, and limits the size of everything.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_DEPTH: Final = 64  # as deep as metadata may be; readers of the result recurse as well
_MAX_NAME: Final = 256
_MAX_REASON: Final = 500
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')

_FIXES: Final = {
    "datetime": ".isoformat()",
    "date": ".isoformat()",
    "time": ".isoformat()",
    "timedelta": ".total_seconds()",
    "Decimal": "str(...) or float(...)",
    "Fraction": "str(...) or float(...)",
    "complex": "str(...)",
    "UUID": "str(...)",
    "PurePath": "str(...)",
    "set": "sorted(...) or list(...)",
    "frozenset": "sorted(...) or list(...)",
    "deque": "list(...)",
    "range": "list(...)",
    "bytes": ".decode(), or base64",
    "bytearray": ".decode(), or base64",
    "Enum": ".value",
    "BaseException": "str(...)",
    "ndarray": ".tolist()",
    "generic": ".item()",
    "coroutine": "the awaited value: write `await` in front",
}
"""By the name of a type or of one of its bases."""

_FIXES_BY_ATTRIBUTE: Final = {
    "__dataclass_fields__": "dataclasses.asdict(...)",
    "model_dump": ".model_dump(mode='json')",
    "to_dict": ".to_dict()",
    "keys": "dict(...)",
    "__next__": "list(...)",
    "__iter__": "list(...)",
}
"""By an attribute that the type has."""


class NotJsonError(ValueError):
    """JSON cannot express the value; the message names the part, its type, and the fix."""


def to_json(value: object) -> str:
    """Return *value* as JSON text. Raises `NotJsonError`."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise NotJsonError(_too_deep()) from None
    except Exception as error:  # noqa: BLE001 - a value's own methods run in here
        raise NotJsonError(_reason(value, error)[:_MAX_REASON]) from None
    if depth_of(text) > _MAX_DEPTH:
        raise NotJsonError(_too_deep())
    # UTF-8 cannot encode lone surrogates.
    return text.encode("utf-8", "replace").decode()


def read_json(data: bytes) -> object:
    """Return the value of *data*, which a handler has sent.

    Raises ValueError if it is not JSON, or so deep that code that walks it would exceed the stack.
    """
    text = data.decode()
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if depth_of(text) > _MAX_DEPTH:
        raise ValueError("it is nested too deep")
    return value


def depth_of(text: str) -> int:
    """Return the depth of *text*, a JSON value; 0 if it is certainly below half the limit."""
    if text.count("[") + text.count("{") <= _MAX_DEPTH // 2:
        return 0
    depth = deepest = 0
    for character in re.findall(r"[\[\]{}]", _STRINGS.sub("", text)):
        depth += 1 if character in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def shorten(text: str, limit: int) -> str:
    """Return *text*, without its middle if it has more than *limit* characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def type_name(kind: type) -> str:
    """Return the full name of *kind*, of limited size."""
    # Bypasses the metaclass, which may be the user's.
    module, name = (type.__getattribute__(kind, key) for key in ("__module__", "__qualname__"))
    return shorten(name if module in ("builtins", "__main__") else f"{module}.{name}", _MAX_NAME)


def _too_deep() -> str:
    return f"the result is nested more than {_MAX_DEPTH} levels deep; return less of it"


def _reason(value: object, error: Exception) -> str:
    try:
        reasons = _unsupported_parts(value, "result")
        return next(reasons, f"the result cannot be written as JSON: {error}")
    except RecursionError:
        return "the result contains itself; remove the reference to itself"
    except Exception as second:  # noqa: BLE001 - as in `to_json`
        return f"the result cannot be written as JSON: {type_name(type(second))}"


def _unsupported_parts(value: object, path: str) -> Iterator[str]:
    """Yield a message for each part of *value* that JSON cannot express."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str | int | float | None):
                yield from _unsupported_parts(item, f"{path}[{key!r}]")
            else:
                kind = type_name(type(key))
                yield f"a key of `{path}` is of type {kind}, and JSON has only texts; use str(...)"
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _unsupported_parts(item, f"{path}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"`{path}` is a float of value {value}, which JSON does not have; return None"
    elif not isinstance(value, str | int | None):
        kind = type_name(type(value))
        yield f"`{path}` is of type {kind}, which JSON does not have; return {_fix(type(value))}"


def _fix(kind: type) -> str:
    """Return the expression that converts a value of type *kind* for JSON."""
    family = type.__getattribute__(kind, "__mro__")
    for each in family:
        name = type.__getattribute__(each, "__name__")
        if name in _FIXES:
            return _FIXES[name]
    known = {name for each in family for name in type.__getattribute__(each, "__dict__")}
    found = (fix for attribute, fix in _FIXES_BY_ATTRIBUTE.items() if attribute in known)
    return next(found, "texts, numbers, lists and dicts made from it")
