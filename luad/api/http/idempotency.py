"""Requests with an `Idempotency-Key`: carried out once, and answered in the same way each time.

Rule: the key is stored in the same commit as the result of the request; the answer follows. A key
belongs to one client, one method and one path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from luad.api.http.api_problems import ApiError
from luad.core.model import MINUTE
from luad.core.requests import AnswerKey
from luad.errors import UnavailableError
from luad.json_text import encode

if TYPE_CHECKING:
    from starlette.requests import Request

    from luad.api.service import Service
    from luad.core.model import Instant
    from luad.store.api_access import Answer

HEADER: Final = "idempotency-key"
_LONGEST: Final = 255
_UNSURE_MS: Final = 10 * MINUTE
_MOST_UNSURE: Final = 10_000
_PLACES: Final = (("job_", "/v1/jobs/"), ("run_", "/v1/runs/"))


class IdempotencyKeys:
    """The keys of one server. *author* names the client that sends a request."""

    def __init__(self, service: Service, author: Callable[[Request], Awaitable[str]]) -> None:
        self._service = service
        self._author = author
        self._in_use: set[str] = set()
        self._unsure: dict[str, Instant] = {}

    async def once(
        self,
        request: Request,
        body: object,
        work: Callable[[AnswerKey | None], Awaitable[Response]],
        recall: Callable[[Answer], Response | None],
    ) -> Response:
        """Do *work* and return its answer; for a key that was used, return the answer of that time.

        *recall* makes the answer for a request that luad carried out just before it was killed, whose
        answer was not stored; None when nothing is left to show.
        """
        text = request.headers.get(HEADER)
        if text is None:
            return await work(None)
        key = await self._key(request, text, body)
        if key.key in self._in_use:
            raise ApiError(
                "idempotency_in_progress",
                "a request with this Idempotency-Key is in progress",
                hint="wait for its answer, then send the request again",
                headers={"retry-after": "1"},
            )
        self._in_use.add(key.key)
        access = self._service.store.access
        try:
            known = await access.answer(key.key)
            if known is not None:
                return _again(key, known, recall)
            self._check_unsure(key)
            try:
                response = await work(key)
            except (ApiError, UnavailableError) as error:
                if error.code == "unavailable":  # taken, but not answered in time
                    self._note_unsure(key)
                raise
            if response.status_code < 300:
                content = bytes(response.body).decode()
                await access.finish_answer(key.key, response.status_code, content)
            return response
        finally:
            self._in_use.discard(key.key)

    def _check_unsure(self, key: AnswerKey) -> None:
        """Refuse a key whose request may still be carried out: the store could not be written."""
        since = self._unsure.get(key.key)
        if since is not None and self._service.clock.now().elapsed - since < _UNSURE_MS:
            raise ApiError(
                "idempotency_in_progress",
                "an earlier request with this Idempotency-Key may still be carried out",
                hint="luad could not write to its store; luad status says whether it can again",
                headers={"retry-after": "5"},
            )

    def _note_unsure(self, key: AnswerKey) -> None:
        if len(self._unsure) < _MOST_UNSURE:
            self._unsure[key.key] = self._service.clock.now().elapsed

    async def _key(self, request: Request, text: str, body: object) -> AnswerKey:
        word = text.strip().strip('"')
        if not word or len(word) > _LONGEST or not word.isprintable():
            raise ApiError(
                "validation", "the Idempotency-Key must have 1 to 255 printable characters"
            )
        actor = await self._author(request)
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
                "conflict", f"luad has already carried out this request; it made {known.subject}"
            )
        response = found
    for prefix, place in _PLACES:
        if known.subject.startswith(prefix):
            response.headers["location"] = place + known.subject
    response.headers["idempotency-replayed"] = "true"
    return response
