"""The JSON of a request body: text to values, in a time that its size bounds.

Rule: pure; runs in a thread of the pool, piece by piece, so that no piece keeps the loop waiting.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from luad.api.http.api_problems import ApiError, echo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_VALUES: Final = 50_000
"""Values in one JSON text, or in one item of a long list."""

_MAX_DIGITS: Final = 1_000  # Python's own limit is told in words for programmers
_WINDOWS: Final = (4 * 1024, 64 * 1024, 256 * 1024)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def read_text(data: bytes) -> str:
    """Return the text of a body. Raises `ApiError` (bad_request)."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApiError("bad_request", f"the body is not UTF-8: {error.reason}") from error


def parse(text: str) -> object:
    """Return the value of *text*. Raises `ApiError` (bad_request, validation)."""
    check_count(text)
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ApiError("bad_request", "the body is nested too deeply") from error
    except ValueError as error:
        raise ApiError("bad_request", f"the body is not JSON: {error}") from error


def parse_long(text: str, key: str) -> Any:
    """Return the object of *text*, of which the list under *key* may be very long.

    Its items are read one by one, each of at most 256 kB. Raises as `parse` does.
    """
    try:
        return _object(list(_members(text, key)))
    except RecursionError as error:
        raise ApiError("bad_request", "the body is nested too deeply") from error
    except ValueError as error:
        raise ApiError("bad_request", f"the body is not JSON: {error}") from error


def check_count(text: str) -> None:
    """Refuse a text of more than `MOST_VALUES` values."""
    if _count(text) > MOST_VALUES and _count(_STRING.sub("", text)) > MOST_VALUES:
        raise ApiError(
            "too_large",
            f"the body has more than {MOST_VALUES} values",
            hint="keep large data elsewhere and send its name, or send several requests",
        )


def _count(text: str) -> int:
    return sum(map(text.count, ",[{"))


def _members(text: str, key: str) -> Iterator[tuple[str, object]]:
    place = _after_space(text, 0)
    if text[place : place + 1] != "{":
        raise ApiError("validation", "the body is not an object", hint='send {"key": value}')
    place = _after_space(text, place + 1)
    if text[place : place + 1] == "}":
        return _end(text, place + 1)
    while True:
        name, place = _value(text, place)
        if not isinstance(name, str):
            raise json.JSONDecodeError("a key is missing", text, place)
        place = _expect(text, place, ":")
        if name == key and text[place : place + 1] == "[":
            value, place = _items(text, place)
        else:
            value, place = _value(text, place)
        yield name, value
        if text[place : place + 1] == "}":
            return _end(text, place + 1)
        place = _expect(text, place, ",")


def _items(text: str, place: int) -> tuple[list[object], int]:
    items: list[object] = []
    place = _after_space(text, place + 1)
    if text[place : place + 1] == "]":
        return items, _after_space(text, place + 1)
    while True:
        item, place = _value(text, place)
        items.append(item)
        if text[place : place + 1] == "]":
            return items, _after_space(text, place + 1)
        place = _expect(text, place, ",")


def _value(text: str, place: int) -> tuple[Any, int]:
    """Return the value at *place*, and the place of the next sign: one of `,:]}`."""
    for size in _WINDOWS:
        window = text[place : place + size]
        is_whole = place + size >= len(text)
        check_count(window)
        try:
            value, end = _DECODER.raw_decode(window)
        except json.JSONDecodeError as error:
            if is_whole or size == _WINDOWS[-1]:
                raise json.JSONDecodeError(error.msg, text, place + error.pos) from error
            continue
        if is_whole or window[end : end + 1] in set(",:]} \t\r\n"):
            return value, _after_space(text, place + end)
    raise ApiError("validation", f"one item is larger than {_WINDOWS[-1]} bytes")


def _expect(text: str, place: int, sign: str) -> int:
    if text[place : place + 1] != sign:
        raise json.JSONDecodeError(f"{sign!r} is missing", text, place)
    return _after_space(text, place + 1)


def _end(text: str, place: int) -> None:
    if (rest := _after_space(text, place)) != len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


# --- what the decoder calls --------------------------------------------------------------------


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the object; a key that is there twice is an error, as in files."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {echo(key)} is there twice")
            seen.add(key)
    return found


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits; send it as text")
    return int(digits)


def _refuse_constant(name: str) -> Callable[[], None]:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_whole, object_pairs_hook=_object
)
