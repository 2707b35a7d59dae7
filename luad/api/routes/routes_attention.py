"""Routes of what needs a look: failing jobs, slow runs, broken files, lost messages; and that a client knows.

Rule: as in `routes_jobs`. All of it is in the store, or in the files that every node reads.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from luad.api import audit_subject
from luad.api.context import context_of, json_response
from luad.api.http.api_problems import ApiError, echo
from luad.api.json import views
from luad.api.routes.endpoint import read_body
from luad.core.installed import Acknowledgement
from luad.core.model import SECOND
from luad.core.requests import AcknowledgeRequested
from luad.core.values import replace
from luad.errors import Severity
from luad.store.trouble import MOST, Found, Kind, Trouble
from luad.wire import format_duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context

KEPT_MS: Final = 1_000
_KEY: Final = "attention"
_ORDER: Final = {kind: number for number, kind in enumerate(Kind)}
_OF_JOBS: Final = frozenset({Kind.FAILING, Kind.PAUSED_BY_FAILURES, Kind.MISSED})
"""Trouble that an acknowledgement of its job is for, until the job succeeds."""


async def attention(context: Context) -> Found:
    """Return what needs a look, at most `MOST` of it, in a fixed order; at most a second old."""
    found = await context.kept.get(_KEY, _attention(context), KEPT_MS)
    assert isinstance(found, Found)
    return found


async def _attention(context: Context) -> Found:
    now = context.service.clock.now().wall
    history = context.service.store.history
    stored = await history.trouble(now)
    known = await history.acknowledged(now)
    every = [*_faults(context), *_queues(context), *_files(context), *stored.troubles]
    every = [each if each.kind in _OF_JOBS else _with(each, known.get(each.id)) for each in every]
    every.sort(key=lambda each: (_ORDER[each.kind], -(each.since or 0), each.key))
    return Found(every[:MOST], stored.is_complete and len(every) <= MOST)


def _with(trouble: Trouble, known: Acknowledgement | None) -> Trouble:
    return trouble if known is None else replace(trouble, acknowledged=known)


def _faults(context: Context) -> Iterator[Trouble]:
    for fault in context.service.health().faults:
        yield Trouble(Kind.DAEMON, _hash(fault), text=fault)


def _queues(context: Context) -> Iterator[Trouble]:
    for queue, count in context.service.unserved.counts.most_common(MOST):
        yield Trouble(Kind.QUEUE, queue, text=f"no worker serves the queue `{queue}`", count=count)


def _files(context: Context) -> Iterator[Trouble]:
    """Yield the files with errors; their ids change with the errors."""
    by_path: dict[str, list[Any]] = {}
    for problem in context.service.problems().every:
        if problem.severity is Severity.ERROR:
            by_path.setdefault(problem.path, []).append(problem)
    for path, problems in list(by_path.items())[:MOST]:
        first = problems[0]
        place = f"{path}:{first.line}:{first.column}" if first.line else path
        key = _hash(path, *(f"{each.line} {each.message}" for each in problems))
        text = f"{place}: {first.message}"
        yield Trouble(Kind.FILE, key, text=text, count=len(problems), job=first.job)


def _hash(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def trouble_view(trouble: Trouble) -> dict[str, Any]:
    """Return something that needs a look, as the API shows it."""
    known = trouble.acknowledged
    return {
        "id": trouble.id,
        "kind": trouble.kind.value,
        "subject": trouble.job or trouble.user or trouble.key,
        "job": trouble.job,
        "job_id": trouble.job_id,
        "run_id": trouble.run_id,
        "user_id": trouble.user,
        "since": views.instant(trouble.since),
        "text": words(trouble),
        "count": trouble.count,
        "link": _link(trouble),
        "acknowledged": None
        if known is None
        else {
            "at": views.instant(known.at),
            "author": known.author,
            "note": known.note,
            "until": views.instant(known.until),
        },
    }


def words(trouble: Trouble) -> str:
    """Return *trouble* in a few words, without its time."""
    match trouble.kind:
        case Kind.MISSED:
            return f"{_many(trouble.count, 'occurrence')} did not run: {trouble.text}"
        case Kind.QUEUE:
            return f"{trouble.text}: {_many(trouble.count, 'run')} waiting"
        case Kind.LATE:
            return f"waiting to start: {_many(trouble.count, 'run')}"
        case Kind.SLOW if trouble.usual_ms is not None:
            usual, longest = (format_duration_ms(_round(each)) for each in trouble.usual_ms)
            return f"usually takes {usual}, at most {longest}"
        case Kind.DELIVERY:
            total = trouble.total or trouble.count
            return f"reached {total - trouble.count} of {_many(total, 'channel')} ({trouble.text})"
        case _:
            return trouble.text


def _round(duration_ms: int) -> int:
    """Return a duration above a second in whole tenths of a second."""
    return round(duration_ms, -2) if duration_ms > SECOND else duration_ms


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _link(trouble: Trouble) -> str:
    """Return the path of the API that shows more."""
    if trouble.kind in {Kind.SLOW, Kind.LATE} and trouble.run_id:
        return f"/v1/runs/{trouble.run_id}"
    if trouble.job_id:
        return f"/v1/jobs/{trouble.job_id}"
    if trouble.kind is Kind.DELIVERY and trouble.user:
        return f"/v1/users/{quote(trouble.user, safe='')}/messages"
    return "/v1/config" if trouble.kind is Kind.FILE else "/v1/status"


async def list_attention(request: Request) -> Response:
    """`GET /attention`: what needs a look, the worst first."""
    found = await attention(context_of(request))
    shown = [trouble_view(each) for each in found.troubles]
    return json_response({"attention": shown, "is_complete": found.is_complete})


async def acknowledge(request: Request) -> Response:
    """`POST /attention/{id}/acknowledge`: say that a client knows of it."""
    context = context_of(request)
    body = await read_body(request)
    now = context.service.clock.now().wall
    author = await context.author(request)
    known = Acknowledgement(now, author, body.text("note"), body.later("until", now))
    trouble = await acknowledge_trouble(context, request.path_params["id"], known)
    return json_response(trouble_view(trouble))


async def acknowledge_trouble(context: Context, trouble_id: str, known: Acknowledgement) -> Trouble:
    """Acknowledge what has the id *trouble_id*, durably. Raises `ApiError` (not_found)."""
    context.kept.forget(_KEY)
    found = {each.id: each for each in (await attention(context)).troubles}
    trouble = found.get(trouble_id)
    if trouble is None:
        hint = "GET /v1/attention shows what needs a look now"
        raise ApiError(
            "not_found", f"nothing that needs a look is called {echo(trouble_id)}", hint=hint
        )
    audit_subject.note_words(known.note, trouble.job or trouble.id)
    if trouble.job_id and trouble.job:
        audit_subject.note_job(trouble.job_id, trouble.job)
    if trouble.kind in _OF_JOBS and trouble.job_id:
        request_id = context.service.new_request_id()
        parts = (known.author, known.note, known.until)
        await context.ask(AcknowledgeRequested(request_id, trouble.job_id, *parts))
    else:
        await context.service.store.history.acknowledge(trouble_id, known)
    context.kept.forget(_KEY)
    context.service.ring.publish("attention.changed", {"id": trouble_id})
    return replace(trouble, acknowledged=known)
