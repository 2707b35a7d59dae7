"""Routes of runs: the history, one run, cancel, retry.

Rule: as in `routes_jobs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from luad.api.context import context_of, json_response, link_header
from luad.api.http.api_problems import ApiError, from_luad_error
from luad.api.http.request_input import unknown_words
from luad.api.http.streams import ListResponse, rows_of
from luad.api.json import views
from luad.api.json.answer_schemas import LISTED_RUN
from luad.api.json.members import chosen, names_of
from luad.api.routes.endpoint import query_of, read_body
from luad.api.routes.routes_jobs import recalled_run
from luad.api.routes.run_search import filter_of
from luad.api.run_changes import RunChanges, changes_of
from luad.core.lifecycle import duration_ms
from luad.core.requests import AnswerKey, CancelRequested, RetryRequested
from luad.errors import LuadError
from luad.json_text import encode_text

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.api.http.request_input import Query
    from luad.core.model import Run
    from luad.store.query_types import Attempt, RunFilter, RunRow

MOST_COUNTED: Final = 10_000
_LONG: Final = ("metadata", "result", "error")
"""Members that may be long; they are not read where `fields` leaves them out."""

_MEMBERS: Final = frozenset(names_of(LISTED_RUN))


async def list_runs(request: Request) -> Response:
    """`GET /runs`: the history, newest first; what was skipped or missed included."""
    context = context_of(request)
    query = query_of(request)
    wanted = await filter_of(context, query, query.text("job"), is_one=False)
    return await _page(request, context, query, wanted)


async def list_runs_of_job(request: Request) -> Response:
    """`GET /jobs/{job}/runs`: the history of one job."""
    context = context_of(request)
    query = query_of(request)
    wanted = await filter_of(context, query, request.path_params["job"], is_one=True)
    return await _page(request, context, query, wanted)


async def _page(request: Request, context: Context, query: Query, wanted: RunFilter) -> Response:
    fields = _fields(query)
    try:
        page = await context.service.store.history.search(
            wanted,
            limit=query.limit(),
            cursor=query.text("cursor"),
            offset=query.offset(),
            without=_not_wanted(fields),
        )
    except LuadError as error:
        raise from_luad_error(error) from error
    rows = page.rows
    sent = await context.service.store.messages.counts([row.run.id for row in rows])
    resumed = await context.service.store.resumed_by(rows)
    end = (
        f'],"next_cursor":{encode_text(page.cursor)},"is_complete":{encode_text(page.is_complete)}'
    )
    if query.flag("count"):
        end += f',"total":{encode_text(await _total(context, wanted))}'

    def show(row: RunRow) -> str:
        more = {"resumed_by": resumed.get(row.run.id, []), "sent": _sent(sent.get(row.run.id))}
        return encode_text(chosen({**context.run_view(row), **more}, fields))

    pieces = rows_of('{"runs":[', rows, show, end + "}")
    return ListResponse(pieces, "application/json", link_header(request, page.cursor))


def _fields(query: Query) -> frozenset[str]:
    """Return the members of a run that are asked for; none for all of them."""
    fields = query.words("fields")
    unknown_words("fields", fields, _MEMBERS)
    return fields


def _not_wanted(fields: frozenset[str]) -> list[str]:
    """Return the long members that *fields* leave out."""
    if not fields:
        return []
    whole = {each.partition(".")[0] for each in fields}
    has_traceback = not fields.isdisjoint(("error", "error.traceback"))
    return [each for each in _LONG if each not in whole] + ["traceback"] * (not has_traceback)


async def _total(context: Context, wanted: RunFilter) -> int | str:
    """Count the rows; many, or those that take long to find, are not counted to the end."""
    count, is_all = await context.service.store.history.count(wanted, MOST_COUNTED + 1)
    return count if is_all else f"{min(count, MOST_COUNTED)}+"


def _sent(counts: tuple[int, int] | None) -> dict[str, int] | None:
    return None if counts is None else {"delivered": counts[0], "total": counts[1]}


async def show_run(request: Request) -> Response:
    """`GET /runs/{run}`: one run, with its attempts."""
    context = context_of(request)
    row = await context.find_run(request.path_params["run"])
    store = context.service.store
    attempts = await store.attempts(row.run.id)
    counts = await store.messages.counts([row.run.id])
    return json_response(
        {
            **context.run_view(row),
            "attempts": [attempt_view(each) for each in attempts],
            "resumed_by": (await store.resumed_by([row])).get(row.run.id, []),
            "created_jobs": await store.created_jobs(row.run.id),
            "sent": _sent(counts.get(row.run.id)),
            "deliveries": await deliveries_of(context, row.run.id),
        }
    )


async def list_deliveries(request: Request) -> Response:
    """`GET /runs/{run}/deliveries`: what the run sent, and what became of it."""
    context = context_of(request)
    row = await context.find_run(request.path_params["run"])
    return json_response({"deliveries": await deliveries_of(context, row.run.id)})


async def deliveries_of(context: Context, run_id: str) -> list[dict[str, Any]]:
    """Return the deliveries of a run, in the order in which its messages were sent."""
    messages, _ = await context.service.store.messages.page(run_id=run_id, limit=200)
    return [
        views.delivery_view(delivery, message.user)
        for message, deliveries in reversed(messages)
        for delivery in deliveries
    ]


async def show_changes(request: Request) -> Response:
    """`GET /runs/{run}/changes`: what has changed since the job last worked."""
    context = context_of(request)
    row = await context.find_run(request.path_params["run"])
    return json_response(changes_view(await changes_of(context.service, row.run)))


def changes_view(found: RunChanges) -> dict[str, object]:
    """Return what has changed since the last good run, as the API shows it."""
    good, file, (then, now) = found.last_good, found.handler_file, found.software
    return {
        "run": found.run.id,
        "last_good": None
        if good is None
        else {
            "id": good.id,
            "revision": good.revision,
            "scheduled_for": views.instant(good.scheduled_for),
            "started_at": views.instant(good.started_at),
            "completed_at": views.instant(good.ended_at),
        },
        "is_complete": found.is_complete,
        "revision": found.run.revision,
        "definition": list(found.definition),
        "metadata": list(found.metadata),
        "software": [
            {"name": name, "then": getattr(then, name, None), "now": getattr(now, name, None)}
            for name in ("luad", "python")
        ],
        "handler_file": None
        if file is None
        else {
            "path": file.path,
            "modified_at": views.instant(file.modified_at),
            "has_changed": file.has_changed,
        },
    }


def attempt_view(attempt: Attempt) -> dict[str, Any]:
    """One attempt of a run, in short."""
    error = attempt.error
    return {
        "attempt": attempt.attempt,
        "started_at": views.instant(attempt.started_at),
        "completed_at": views.instant(attempt.ended_at),
        "duration_ms": duration_ms(attempt.started_at, attempt.ended_at),
        "ended": None if attempt.kind is None else attempt.kind.value,
        "pid": attempt.pid,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "error": None if error is None else {"type": error.type, "message": error.message},
    }


async def cancel(request: Request) -> Response:
    """`POST /runs/{run}/cancel`: stop it; answers with the run, which may not have ended yet."""
    context = context_of(request)
    body = await read_body(request)
    row = await context.find_run(request.path_params["run"])
    request_id = context.service.new_request_id()
    reply = await context.ask(CancelRequested(request_id, row.run.id, body.flag("kill")))
    return _run_response(context, cast("Run | None", reply.value) or row.run)


async def retry(request: Request) -> Response:
    """`POST /runs/{run}/retry`: run its occurrence again; answers with the new run."""
    context = context_of(request)
    await read_body(request)
    row = await context.find_run(request.path_params["run"])
    if not views.is_over(row.run.state):
        raise ApiError(
            "conflict",
            f"{row.run.id} has not ended: it is {row.run.state.value}",
            hint=f"stop it first: luad cancel {row.run.id}",
        )

    async def work(key: AnswerKey | None) -> Response:
        event = RetryRequested(context.service.new_request_id(), row.run, key)
        return _run_response(context, cast("Run", (await context.ask(event)).value))

    return await context.keys.once(request, {}, work, lambda known: recalled_run(context, known))


def _run_response(context: Context, run: Run) -> Response:
    return json_response(
        views.run_view(run, context.job_of(run)), 202, {"location": f"/v1/runs/{run.id}"}
    )
