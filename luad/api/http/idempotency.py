"""Requests that carry an `Idempotency-Key` are granted once, however often they are sent.

Room rule: what is granted is written down in the same commit as what it made; the answer follows. A key
belongs to whoever sent it, and to one method and path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from luad.api.http.api_problems import ApiError
from luad.core.model import MINUTE
from luad.core.requests import AnswerKey
from luad.errors import UnavailableError
from luad.json_text import encode

if TYPE_CHECKING:
    from starlette.requests import Request

    from luad.api.context import Context
    from luad.store.api_access import Answer

HEADER: Final = "idempotency-key"
_LONGEST: Final = 255
_UNSURE_MS: Final = 10 * MINUTE
_MOST_UNSURE: Final = 10_000
_PLACES: Final = (("job_", "/v1/jobs/"), ("run_", "/v1/runs/"))


async def once(
    request: Request,
    context: Context,
    body: Any,
    work: Callable[[AnswerKey | None], Awaitable[Response]],
    recall: Callable[[Answer], Response | None],
) -> Response:
    """Do *work*, unless the request was granted before: then answer as it was answered then.

    *recall* makes an answer for a request that was granted just before luad was killed, and whose
    answer is not known; None when there is nothing left to show.
    """
    text = request.headers.get(HEADER)
    if text is None:
        return await work(None)
    key = await _key(request, context, text, body)
    if key.key in context.keys_in_use:
        raise ApiError(
            "idempotency_in_progress",
            "a request with this Idempotency-Key is being answered",
            hint="wait for its answer, or a moment",
            headers={"retry-after": "1"},
        )
    context.keys_in_use.add(key.key)
    try:
        known = await context.service.store.access.answer(key.key)
        if known is not None:
            return _again(key, known, recall)
        _check_unsure(context, key)
        try:
            response = await work(key)
        except (ApiError, UnavailableError) as error:
            if error.code == "unavailable":  # taken, but not answered in time
                _note_unsure(context, key)
            raise
        if response.status_code < 300:
            content = bytes(response.body).decode()
            await context.service.store.access.finish_answer(key.key, response.status_code, content)
        return response
    finally:
        context.keys_in_use.discard(key.key)


def _check_unsure(context: Context, key: AnswerKey) -> None:
    """Refuse what was taken before and may still be carried out: the store could not be written."""
    since = context.keys_unsure.get(key.key)
    if since is not None and context.service.clock.now().elapsed - since < _UNSURE_MS:
        raise ApiError(
            "idempotency_in_progress",
            "an earlier request with this Idempotency-Key may still be carried out",
            hint="luad could not write to its store; luad status says whether it can again",
            headers={"retry-after": "5"},
        )


def _note_unsure(context: Context, key: AnswerKey) -> None:
    if len(context.keys_unsure) < _MOST_UNSURE:
        context.keys_unsure[key.key] = context.service.clock.now().elapsed


async def _key(request: Request, context: Context, text: str, body: Any) -> AnswerKey:
    word = text.strip().strip('"')
    if not word or len(word) > _LONGEST or not word.isprintable():
        raise ApiError(
            "validation", "the Idempotency-Key has to have 1 to 255 printable characters"
        )
    actor = await context.author(request)
    if token := request.scope["state"].get("token"):
        # A later token of the same name belongs to another client.
        actor = f"{actor}\0{token.created_at}"
    place = f"{request.method} {request.url.path}"
    fingerprint = blake2b(encode(body), digest_size=16).hexdigest()
    name = blake2b(f"{actor}\0{place}\0{word}".encode(), digest_size=16).hexdigest()
    return AnswerKey(name, fingerprint)


def _again(key: AnswerKey, known: Answer, recall: Callable[[Answer], Response | None]) -> Response:
    if known.key.fingerprint != key.fingerprint:
        raise ApiError(
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request",
            hint="use a new key for a new request",
        )
    if known.status is not None and known.body is not None:
        response = Response(known.body, known.status, media_type="application/json")
    else:
        found = recall(known)
        if found is None:
            raise ApiError(
                "conflict", f"this request was granted before; {known.subject} is what it made"
            )
        response = found
    for prefix, place in _PLACES:
        if known.subject.startswith(prefix):
            response.headers["location"] = place + known.subject
    response.headers["idempotency-replayed"] = "true"
    return response
