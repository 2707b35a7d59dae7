"""The problem documents (RFC 9457) of failed requests, and the table of their codes.

Rule: each answer of 400 and above is made here, so that all errors have one shape.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from luad import suggestions
from luad.errors import (
    ConflictError,
    LuadError,
    NotFoundError,
    UnavailableError,
    UsageError,
    ValidationError,
)
from luad.json_text import encode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

MEDIA_TYPE: Final = "application/problem+json"

TABLE: Final[Mapping[str, tuple[int, str]]] = {
    "bad_request": (400, "The request cannot be understood"),
    "unauthenticated": (401, "A token is needed"),
    "forbidden": (403, "Not allowed"),
    "handler_not_allowed": (403, "The handler may not be named"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "The resource is there, but not for this method"),
    "timeout": (408, "The request took too long to arrive"),
    "conflict": (409, "The state forbids it"),
    "already_running": (409, "The job is running already"),
    "name_taken": (409, "The name is taken"),
    "file_owned": (409, "It belongs to a file"),
    "too_many_jobs": (409, "There are as many as there may be"),
    "too_many_runs": (409, "As many runs are open as may be"),
    "idempotency_in_progress": (409, "The request is being answered"),
    "ambiguous": (409, "The name means several things"),
    "precondition_failed": (412, "It is not as it was"),
    "too_large": (413, "The request is too large"),
    "unsupported_media_type": (415, "The body is not JSON"),
    "host_not_allowed": (421, "The request is for another host"),
    "validation": (422, "The request is not valid"),
    "idempotency_key_reused": (422, "The key was used for another request"),
    "rate_limited": (429, "Too many requests"),
    "header_too_large": (431, "The request's header is too large"),
    "internal": (500, "luad made a mistake"),
    "unavailable": (503, "luad cannot answer now"),
    "store_unavailable": (503, "The store cannot be used now"),
    "draining": (503, "luad is shutting down"),
    "overloaded": (503, "Too many connections"),
}
_MAX_ECHO: Final = 80

MOST_COMPARED: Final = 100
"""Names that a misspelt one is compared with: those that begin alike, where there are more."""

_NEAR: Final = 2


class ApiError(Exception):
    """A request that ends in a problem document. *code* is a key of `TABLE`."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        hint: str = "",
        suggestions: Sequence[str] = (),
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.suggestions = tuple(suggestions)
        self.errors = tuple(errors)
        self.headers = headers

    @property
    def status(self) -> int:
        """The HTTP status; a code without a row is a conflict, as every new code so far was."""
        return TABLE.get(self.code, TABLE["conflict"])[0]


def from_luad_error(error: LuadError) -> ApiError:
    """Return the API error of an exception of another package."""
    suggestions: Sequence[str] = ()
    match error:
        case NotFoundError():
            code, suggestions = "not_found", error.suggestions
        case ValidationError():
            return ApiError("validation", error.message, hint=error.hint, errors=error.errors)
        case UsageError():
            code = "validation"
        case ConflictError() | UnavailableError():
            code = error.code
        case _:
            code = "internal"
    return ApiError(code, error.message, hint=error.hint, suggestions=suggestions)


def document(error: ApiError, instance: str, request_id: str) -> dict[str, Any]:
    """Return the problem document. Empty members are left out."""
    code = error.code
    body: dict[str, Any] = {
        "type": f"/problems/{code.replace('_', '-')}",
        "title": TABLE.get(code, TABLE["conflict"])[1],
        "status": error.status,
        "code": code,
        "detail": error.detail,
        "hint": error.hint,
        "suggestions": list(error.suggestions),
        "errors": [dict(item) for item in error.errors],
        "instance": instance,
        "request_id": request_id,
    }
    return {key: value for key, value in body.items() if value or key == "detail"}


def response(error: ApiError, instance: str, request_id: str) -> Response:
    """Return the HTTP answer for *error*."""
    body = encode(document(error, instance, request_id))
    return Response(body, error.status, error.headers, media_type=MEDIA_TYPE)


def echo(text: str) -> str:
    """Quote what a client sent, safe to print on its terminal: one line, bounded, no controls."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[:_MAX_ECHO])
    return f"`{shown}`" if len(text) <= _MAX_ECHO else f"`{shown}…`"


def close_to(word: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """Return the *known* words that *word* may have been meant to be, the likeliest first."""
    return suggestions.close_to(word, known, count)


def comparable(name: str, known: Collection[str]) -> Sequence[str]:
    """Return at most `MOST_COMPARED` of the *known* names that *name* may have been meant to be."""
    if len(known) <= MOST_COMPARED:
        return list(known)
    alike = (each for each in known if each[:1] == name[:1] and abs(len(each) - len(name)) <= _NEAR)
    return list(islice(alike, MOST_COMPARED))


def did_you_mean(words: Sequence[str]) -> str:
    """Return the hint that offers *words*; empty without any."""
    if not words:
        return ""
    return "did you mean " + " or ".join(f"`{word}`" for word in words) + "?"
