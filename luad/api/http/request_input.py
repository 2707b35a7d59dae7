"""Query parameters and bodies of requests, read and checked.

Rule: an unknown name is refused, never ignored: a misspelt filter must not return everything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from luad.api.http.api_problems import ApiError, close_to, did_you_mean, echo
from luad.api.http.json_body import parse, parse_long, read_text
from luad.config.jobs.api_bodies import refusal, unfit
from luad.config.schema.foreign_words import find_foreign
from luad.wire import NaiveInstantError, parse_duration_ms, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from enum import StrEnum
    from typing import TypeVar

    from starlette.requests import Request

    from luad.api.http.parameters import Parameter
    from luad.api.http.work_pool import WorkPool
    from luad.core.model import Instant

    T = TypeVar("T")
    E = TypeVar("E", bound=StrEnum)

MAX_BODY_BYTES: Final = 256 * 1024
MAX_METADATA_BYTES: Final = 64 * 1024
_DISCARD_BYTES: Final = 8 * 1024 * 1024
"""The bytes of a too large body that luad reads and drops. Its sender then gets the answer, not a broken pipe."""

_TRUE: Final = frozenset({"1", "true", "yes"})
_FALSE: Final = frozenset({"0", "false", "no", ""})
SMALL_BYTES: Final = 4 * 1024
"""A body of this size is read on the loop: it takes less than the way to a thread and back."""

DEFAULT_LIMIT: Final = 50


class Query:
    """The query parameters of a request, of which *known* are allowed.

    Raises `ApiError` (validation) for names that are unknown or given twice; each method raises it for
    a value that does not fit.
    """

    def __init__(self, items: Iterable[tuple[str, str]], parameters: Iterable[Parameter]) -> None:
        self._values: dict[str, str] = {}
        self._schemas = {each.name: each.schema for each in parameters}
        known = self._schemas.keys()
        for name, value in items:
            if name not in known:
                hint = _meant(name, known)
                raise wrong_parameter(name, f"unknown parameter {echo(name)}", hint)
            if name in self._values:
                hint = "several values are joined by commas, where the route takes several"
                raise wrong_parameter(name, f"{echo(name)} is given twice", hint)
            self._values[name] = value

    def has(self, name: str) -> bool:
        """Return whether the parameter is there, even if it is empty."""
        return name in self._values

    def text(self, name: str) -> str | None:
        """The value as it is; None when it is missing or empty."""
        return self._values.get(name) or None

    def flag(self, name: str, *, default: bool = False) -> bool:
        """`1`, `true`, `yes`, or `0`, `false`, `no`."""
        value = self._values.get(name)
        if value is None:
            return default
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        raise wrong_parameter(name, f"{echo(value)} is neither 1 nor 0")

    def number(self, name: str, default: int) -> int:
        """Return a whole number within the bounds of the parameter."""
        low, high = self._schemas[name]["minimum"], self._schemas[name]["maximum"]
        value = self._values.get(name)
        if value is None:
            return default
        is_number = value.isascii() and value.isdigit() and len(value) <= 18
        if not is_number or not low <= int(value) <= high:
            raise wrong_parameter(name, f"{echo(value)} is not a number from {low} to {high}")
        return int(value)

    def offset(self) -> int:
        """How many rows are left out first."""
        return self.number("offset", 0)

    def limit(self) -> int:
        """How many rows a page has."""
        return self.number("limit", DEFAULT_LIMIT)

    def instant(self, name: str) -> Instant | None:
        """An RFC 3339 instant with an offset."""
        value = self._values.get(name)
        if not value:
            return None
        try:
            return parse_instant(value)
        except NaiveInstantError as error:
            raise wrong_parameter(name, str(error), "add an offset: Z or +01:00") from error
        except ValueError as error:
            # a plus sign of the offset that was not percent-encoded has become a space
            hint = "a + in a URL is written %2B" if " " in value else ""
            raise wrong_parameter(name, str(error), hint) from error

    def duration_ms(self, name: str) -> int | None:
        """A duration, such as `90s` or `10m`."""
        value = self._values.get(name)
        if not value:
            return None
        try:
            return parse_duration_ms(value)
        except ValueError as error:
            raise wrong_parameter(name, str(error)) from error

    def span_ms(self, name: str, now: Instant, default: int) -> int:
        """The time from an instant until *now*: a duration, or an RFC 3339 instant with an offset."""
        value = self._values.get(name)
        if not value:
            return default
        if "-" not in value:
            return self.duration_ms(name) or 0
        at = self.instant(name)
        if at is None or at > now:
            raise wrong_parameter(name, f"{echo(value)} is in the future")
        return now - at

    def since(self, name: str, now: Instant) -> Instant | None:
        """An RFC 3339 instant with an offset, or a duration before *now*."""
        value = self._values.get(name)
        is_duration = value and value[:1].isdigit() and not {"-", ":"} & set(value)
        return now - (self.duration_ms(name) or 0) if is_duration else self.instant(name)

    def choices(self, name: str, kind: type[E]) -> frozenset[E]:
        """Members of the enum *kind*, joined by commas; empty when the parameter is missing."""
        value = self._values.get(name)
        return (
            frozenset(self._choice(name, word, kind) for word in value.split(","))
            if value
            else frozenset()
        )

    def words(self, name: str) -> frozenset[str]:
        """Words joined by commas."""
        return frozenset(filter(None, self._values.get(name, "").split(",")))

    @staticmethod
    def _choice(name: str, word: str, kind: type[E]) -> E:
        try:
            return kind(word.strip())
        except ValueError:
            known = [each.value for each in kind]
            hint = did_you_mean(close_to(word, known)) or "one of " + ", ".join(known)
            raise wrong_parameter(name, f"{echo(word)} is not a known {name}", hint) from None


class Body:
    """The JSON object of a request's body, or the one *inside* a key of it.

    Its methods raise `ApiError` (validation).
    """

    def __init__(self, values: Mapping[str, Any], known: Collection[str], inside: str = "") -> None:
        self._values = values
        self._inside = inside
        for name in values:
            if name not in known:
                hint = _meant(name, known)
                raise self._wrong(name, f"unknown key {echo(name)}", hint)

    def text(self, name: str, limit: int = 500) -> str:
        """A string of at most *limit* characters; empty when it is missing or null."""
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "this must be a string")
        if len(value) > limit:
            raise self._wrong(name, f"longer than {limit} characters")
        return value

    def flag(self, name: str) -> bool:
        """A boolean; false when it is missing or null."""
        value = self._values.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "this must be true or false")
        return value

    def choice(self, name: str, known: Collection[str], default: str) -> str:
        """One of the words in *known*."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or value not in known:
            hint = did_you_mean(close_to(str(value), known)) or "one of " + ", ".join(known)
            raise self._wrong(name, f"{echo(str(value))} is not a known {name}", hint)
        return value

    def later(self, name: str, now: Instant) -> Instant | None:
        """An instant after *now*: RFC 3339 with an offset, or a duration from *now*."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        at = self._instant_or_duration(name, value, now)
        if at <= now:
            raise self._wrong(name, f"{echo(str(value))} is not in the future")
        return at

    def mapping(self, name: str, max_bytes: int = MAX_METADATA_BYTES) -> dict[str, Any] | None:
        """A JSON object; None when it is missing or null. Raises `ValidationError`, too."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(name, "this must be an object")
        if len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) > max_bytes:
            raise self._wrong(name, f"larger than {max_bytes} bytes")
        if mistakes := list(unfit({name: value})):
            raise refusal("body", mistakes)
        return value

    def _wrong(self, name: str, detail: str, hint: str = "") -> ApiError:
        return wrong_member(name, detail, hint, self._inside)

    def _instant_or_duration(self, name: str, value: Any, now: Instant) -> Instant:
        try:
            if isinstance(value, str) and "-" in value[1:]:
                return parse_instant(value)
            return now + parse_duration_ms(value)
        except NaiveInstantError as error:
            raise self._wrong(name, str(error), "add an offset: Z or +01:00") from error
        except ValueError as error:
            raise self._wrong(name, str(error)) from error


async def read_object(request: Request) -> dict[str, Any]:
    """Read the JSON object of a request; an empty body is an empty object."""
    values = await read_json(request)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ApiError("validation", "the body is not an object", hint='send {"key": value}')
    return values


def content_type(request: Request) -> str:
    """The media type of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, *, also: Collection[str] = ()) -> Any:
    """Read the JSON of a request; None when there is no body.

    *also* are media types that are JSON, too. Raises `ApiError`.
    """
    data = await _read(request, MAX_BODY_BYTES)
    if not data.strip():
        return None
    _check_kind(request, also)
    values = await beside(request, lambda: parse(read_text(data)))
    request.scope["state"]["body"] = values
    check_body(request, values)
    return values


def check_body(request: Request, values: Any) -> None:
    """Refuse a body, or an item of one, that the remote rule of its route refuses."""
    check = request.scope["state"].get("check_body")
    if check is not None and isinstance(values, dict):
        check(values)


def _check_kind(request: Request, also: Collection[str]) -> None:
    kind = content_type(request)
    if kind != "application/json" and kind not in also:
        raise ApiError(
            "unsupported_media_type",
            f"the body is {echo(kind) if kind else 'of no stated type'}",
            hint="send JSON with  Content-Type: application/json",
        )


async def read_long_object(request: Request, max_bytes: int, key: str) -> dict[str, Any]:
    """Read an object of which the list under *key* may be long. Raises `ApiError`."""
    data = await _read(request, max_bytes)
    if not data.strip():
        return {}
    _check_kind(request, ())
    found: dict[str, Any] = await beside(request, lambda: parse_long(read_text(data), key))
    return found


async def beside(request: Request, work: Callable[[], T]) -> T:
    """Do *work* that the size of the body bounds: in a thread beside the loop, unless it is small."""
    if request.scope["state"].get("body_size", 0) <= SMALL_BYTES:
        return work()
    pool: WorkPool = request.app.state.context.pool
    is_far = bool(request.scope["state"].get("is_tcp"))
    return await pool.run(lambda _: work(), is_far=is_far)


async def _read(request: Request, max_bytes: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes + _DISCARD_BYTES:
            break
        if size <= max_bytes:
            parts.append(part)
    if size > max_bytes:
        raise ApiError(
            "too_large",
            f"the body is larger than {max_bytes} bytes",
            headers={"connection": "close"} if size > max_bytes + _DISCARD_BYTES else None,
        )
    request.scope["state"]["body_size"] = size
    return b"".join(parts)


def unknown_words(name: str, words: Collection[str], known: Collection[str]) -> None:
    """Refuse *words* of the query parameter *name* that are not among the *known* ones."""
    for word in words:
        if word not in known:
            hint = did_you_mean(close_to(word, known)) or _known_names(known)
            raise wrong_parameter(name, f"{echo(word)} is not a known name", hint)


def wrong_parameter(name: str, detail: str, hint: str = "") -> ApiError:
    """Return the error for a query parameter with a wrong value."""
    item = {"parameter": name[:80], "code": "parameter", "detail": detail}
    return ApiError(
        "validation", f"{name[:80]}: {detail}", hint=hint, errors=[_with_hint(item, hint)]
    )


def wrong_member(name: str, detail: str, hint: str = "", inside: str = "") -> ApiError:
    """Return the error for a wrong member of the body, or of the object *inside* it."""
    pointer = f"#/{inside}{'/' if inside else ''}" + name[:80].replace("~", "~0").replace("/", "~1")
    item = {"pointer": pointer, "code": "value", "detail": detail}
    return ApiError(
        "validation", f"{name[:80]}: {detail}", hint=hint, errors=[_with_hint(item, hint)]
    )


def _with_hint(item: dict[str, str], hint: str) -> dict[str, str]:
    return item | {"hint": hint} if hint else item


def _meant(name: str, known: Collection[str]) -> str:
    """Return the hint for an unknown name: the word of luad for a word of another system first."""
    foreign = find_foreign("", name, None, frozenset(known))
    if foreign is not None and foreign.key:
        return foreign.help
    return did_you_mean(close_to(name, known)) or _known_names(known)


def _known_names(known: Collection[str]) -> str:
    return "known are " + ", ".join(sorted(known)) if known else "nothing can be set here"
