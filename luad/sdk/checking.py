"""Checks of the values that callers pass: text, JSON, durations, and whole requests.

Each check returns the value in the form that is sent, or raises an exception of luad with a hint.

Rule: sends no request. `check_ask` is the last check of each request, so no value leads to an
exception of another library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final, NoReturn

from luad.core.phrase import PhraseError, read_delay
from luad.errors import ValidationError
from luad.sdk.exceptions import InvalidSchedule
from luad.sdk.translating import Guarded
from luad.wire import parse_duration_ms

if TYPE_CHECKING:
    from luad.json_text import JsonObject
    from luad.sdk.ask import Ask

MAX_DEPTH: Final = 64  # as in files
MAX_TEXT: Final = 1_000
"""Characters of the longest name, id, address or key that is sent."""

MAX_BODY: Final = 4 << 20
_MAX_WHOLE: Final = 1 << 64
_MAX_SHOWN: Final = 80
_MS: Final = 1_000

_FIXES: Final = {
    "datetime": "write .isoformat()",
    "date": "write .isoformat()",
    "UUID": "write str(…)",
    "Decimal": "write str(…) or float(…)",
    "set": "write sorted(…)",
    "frozenset": "write sorted(…)",
    "bytes": "write .decode() or base64",
    "tuple": "write list(…)",
}


def refuse(
    place: str, reason: str, hint: str, kind: type[ValidationError] = ValidationError
) -> NoReturn:
    """Raise *kind* with the place, the reason and the hint."""
    item = {"pointer": place, "code": "value", "detail": reason, "hint": hint}
    raise kind(f"{place}: {reason}", hint=hint, errors=(item,))


def shown(value: object) -> str:
    """Return *value* for a message: short, even if its `repr` fails."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - such as a number of 5,000 digits
        text = f"<{type(value).__name__}>"
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


# --- text --------------------------------------------------------------------------------------


def checked_text(value: object, place: str, hint: str) -> str:
    """Return *value*, a text that is not empty. Raises `ValidationError` otherwise."""
    if not isinstance(value, str):
        refuse(place, f"{shown(value)} is not a text", hint)
    if not value:
        refuse(place, "it is empty", "pass a name or an id")
    if len(value) > MAX_TEXT:
        refuse(place, f"it has {len(value)} characters; at most {MAX_TEXT}", hint)
    _check_characters(value, place)
    return value


def user_id_of(user: object) -> str | None:
    """Return the id of *user*, which is a `User`, an id, or None for no user."""
    if user is None:
        return None
    if isinstance(user, Guarded) and user._kind == "user":  # noqa: SLF001 - the SDK among itself
        return str(vars(user)["id"])
    return checked_text(user, "user", 'pass an id such as "ann", or a User')


def header_text(value: Any, place: str) -> str:
    """Return *value*, which is valid in a header. Raises `ValidationError` otherwise."""
    hint = "use the letters, digits and signs of ASCII, without quotes and backslashes"
    checked_text(value, place, hint)
    if not value.isascii() or not value.isprintable() or '"' in value or "\\" in value:
        refuse(place, f"{shown(value)} is not valid in a header", hint)
    return str(value)


def _check_characters(text: str, place: str) -> None:
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        refuse(place, f"{shown(text)} contains half a surrogate pair", "send whole characters")


def zone_text(value: object) -> str | None:
    """Return the name of a time zone: *value* is a name, a `ZoneInfo`, or `datetime.UTC`."""
    if value is None or isinstance(value, str):
        return value
    is_zone = isinstance(value, tzinfo)
    name = getattr(value, "key", "UTC" if value is UTC else None) if is_zone else None
    if not isinstance(name, str):
        hint = 'pass a name such as "Europe/London", or a ZoneInfo'
        refuse("timezone", f"{shown(value)} is not the name of a time zone", hint, InvalidSchedule)
    return name


# --- durations ---------------------------------------------------------------------------------


def duration(
    value: Any, place: str, kind: type[ValidationError] = ValidationError
) -> int | float | str:
    """Return a duration as the API reads it: seconds, or text like ``10m``.

    *value* is seconds, a timedelta, ``"10m"``, or words like ``"10 minutes"``. Raises *kind*.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, str):
        delay_ms = spoken_delay(value, place, kind)
        if delay_ms is not None:
            return _seconds(delay_ms)
    try:
        parse_duration_ms(value)
    except (ValueError, OverflowError):
        hint = 'write seconds, "10m", "1h30m" or a timedelta; between 0 and 100 years'
        refuse(place, f"{shown(value)} is not a duration", hint, kind)
    return value  # type: ignore[no-any-return] # a number or a text, as just found


def spoken_delay(
    text: str, place: str, kind: type[ValidationError] = ValidationError
) -> int | None:
    """Return the milliseconds of words like ``in 10 minutes``; None for any other text."""
    try:
        parse_duration_ms(text)
    except ValueError:
        pass
    else:
        return None
    try:
        return read_delay(text)
    except PhraseError as error:
        refuse(place, error.message, error.nearest, kind)


def seconds(value: object, place: str) -> int | float:
    """Return a duration as a number of seconds."""
    return _seconds(parse_duration_ms(duration(value, place)))


def _seconds(duration_ms: int) -> int | float:
    whole, rest = divmod(duration_ms, _MS)
    return duration_ms / _MS if rest else whole


# --- JSON --------------------------------------------------------------------------------------


def json_object(value: object, place: str) -> JsonObject:
    """Return *value* as a dict of plain JSON. Raises `ValidationError` otherwise."""
    if not isinstance(value, Mapping):
        reason = f"a {type(value).__name__} is not an object"
        refuse(place, reason, f"pass a dict, such as {place}={{...}}")
    copy: JsonObject = plain_json(value, place)
    return copy


def plain_json(value: object, place: str, above: tuple[int, ...] = ()) -> Any:
    """Return a copy of *value* that is plain JSON.

    Raises `ValidationError`, with the place and a hint, for a value that JSON or luad does not
    accept.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _check_characters(value, place)
        return value
    if isinstance(value, int | float):
        return _number(value, place)
    if not isinstance(value, Mapping | list):
        name = type(value).__name__
        refuse(place, f"a {name} is not JSON", _FIXES.get(name, "pass numbers, texts and lists"))
    if id(value) in above:
        refuse(place, "it contains itself", "remove the reference to itself")
    if len(above) > MAX_DEPTH:
        start = place[:_MAX_SHOWN]
        refuse(start, f"it is nested more than {MAX_DEPTH} levels deep", "make it flatter")
    inside = (*above, id(value))
    if isinstance(value, list):
        return [plain_json(each, f"{place}[{at}]", inside) for at, each in enumerate(value)]
    return {
        _key(key, place): plain_json(each, f"{place}[{_named(key)}]", inside)
        for key, each in value.items()
    }


def _named(key: str) -> str:
    return json.dumps(key if len(key) <= _MAX_SHOWN else key[:_MAX_SHOWN])


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        refuse(place, f"the key {shown(key)} is not a text", "write str(…)")
    _check_characters(key, place)
    return key


def _number(value: Any, place: str) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            refuse(place, f"{value} is not JSON", "use None, or leave the key out")
    elif abs(value) >= _MAX_WHOLE:
        refuse(place, "a whole number needs more than 64 bits", "send it as text")
    return value


# --- requests ----------------------------------------------------------------------------------


def check_ask(ask: Ask) -> None:
    """Raise `ValidationError` for a request that cannot be sent."""
    if ask.body is not None:
        body = ask.body
        if isinstance(body, dict):
            body = {_key(key, "body"): plain_json(each, str(key)) for key, each in body.items()}
        else:
            body = plain_json(body, "body")
        if len(json.dumps(body)) > MAX_BODY:
            hint = "store large data elsewhere, and pass its name"
            refuse("body", f"the request has more than {MAX_BODY >> 20} MiB", hint)
        ask.body = body
    for name, value in (ask.query or {}).items():
        _check_parameter(_key(name, "query"), value)


def _check_parameter(key: str, value: object) -> None:
    if isinstance(value, list | tuple):
        for each in value:
            _check_parameter(key, each)
    elif isinstance(value, str):
        if len(value) > MAX_TEXT:
            refuse(key, f"it has {len(value)} characters; at most {MAX_TEXT}", "shorten it")
        _check_characters(value, key)
    elif isinstance(value, int | float):
        _number(value, key)
    elif value is not None:
        refuse(key, f"{shown(value)} is not a text", "pass a text, a number, or a list of texts")
