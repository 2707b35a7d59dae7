"""Many runs in one request: retry or cancel all that are named, or all that a filter finds.

Rule: as in `routes_jobs`. Every run is answered for; none depends on another. A dry run changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from luad.api import audit_subject
from luad.api.context import context_of, json_response
from luad.api.http.api_problems import ApiError, from_luad_error
from luad.api.http.parameters import RUNS_OF_A_BATCH
from luad.api.http.request_input import Query, read_long_object, wrong_member
from luad.api.routes.endpoint import body_of
from luad.api.routes.routes_batch import MAX_BATCH_BYTES, MAX_ITEMS, shown_error
from luad.api.routes.run_search import filter_of
from luad.core.lifecycle import BAD_STATES
from luad.core.model import OPEN_STATES, Run, RunState
from luad.core.requests import CancelRequested, RetryRequested
from luad.core.values import replace
from luad.errors import LuadError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.store.query_types import RunFilter

_ACTIONS: Final = ("retry", "cancel")
_WHICH: Final = 'send "runs": [id, …], or "filter": {"job": …}'
_PAGE: Final = 500
_MOST_PAGES: Final = 40
_AT_ONCE: Final = 50
"""Runs that the engine gets at one go: their claims share a commit."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The runs of a request. *errors*: those that were named, but cannot be found.

    *remaining*: how many more match; *is_complete*: False if the search for them was out of time.
    """

    runs: Sequence[Run]
    errors: Mapping[str, ApiError]
    remaining: int = 0
    is_complete: bool = True


async def batch(request: Request) -> Response:
    """`POST /runs:batch`: retry or cancel many runs."""
    context = context_of(request)
    values = await read_long_object(request, MAX_BATCH_BYTES, "runs")
    body = body_of(request, values)
    action = body.choice("action", _ACTIONS, "")
    if not action:
        raise wrong_member("action", "`action` is missing", "one of " + ", ".join(_ACTIONS))
    chosen = await choose(context, action, values)
    if body.flag("dry_run"):
        results = [_shown(run) for run in chosen.runs]
    else:
        audit_subject.note_words("", f"{action} of {len(chosen.runs)} runs")
        results = await act(context, action, chosen.runs, kill=body.flag("kill"))
    results += [_refused(run_id, None, error) for run_id, error in chosen.errors.items()]
    return json_response(
        {
            "results": results,
            "count": len(results),
            "remaining": chosen.remaining,
            "is_complete": chosen.is_complete,
        }
    )


async def choose(context: Context, action: str, values: Mapping[str, object]) -> Chosen:
    """Return the runs that a body names, or that its filter finds. Raises `ApiError`."""
    if ("runs" in values) is ("filter" in values):
        raise wrong_member("runs", "exactly one of `runs` and `filter` says which runs", _WHICH)
    if "runs" in values:
        return await _named(context, values["runs"])
    chosen = values["filter"]
    texts = chosen.items() if isinstance(chosen, dict) else ()
    if not any(each for _, each in texts) or not all(isinstance(each, str) for _, each in texts):
        hint = "its keys are the parameters of GET /v1/runs"
        raise wrong_member("filter", "this is an object of texts, with at least one", hint)
    query = Query(texts, RUNS_OF_A_BATCH)
    wanted = await filter_of(context, query, query.text("job"), is_one=False)
    return await _found(context, replace(wanted, statuses=_statuses(action, wanted.statuses)))


def _statuses(action: str, named: frozenset[RunState]) -> frozenset[RunState]:
    """Return the states of the runs that *action* is for: of those *named*, else of all that need it."""
    if action == "cancel":
        return named & OPEN_STATES if named else OPEN_STATES
    return named - OPEN_STATES if named else BAD_STATES


async def _named(context: Context, ids: object) -> Chosen:
    if not isinstance(ids, list) or len(ids) > MAX_ITEMS:
        raise wrong_member("runs", f"this is a list of at most {MAX_ITEMS}", "of ids of runs")
    runs: list[Run] = []
    errors: dict[str, ApiError] = {}
    for start in range(0, len(ids), _AT_ONCE):
        part = dict.fromkeys(str(each) for each in ids[start : start + _AT_ONCE])
        found = await asyncio.gather(*map(context.find_run, part), return_exceptions=True)
        for name, each in zip(part, found, strict=True):
            if isinstance(each, ApiError):
                errors[name] = each
            elif isinstance(each, BaseException):
                raise each
            else:
                runs.append(each.run)
    return Chosen(list({run.id: run for run in runs}.values()), errors)


async def _found(context: Context, wanted: RunFilter) -> Chosen:
    if not wanted.statuses:
        return Chosen([], {})
    runs: list[Run] = []
    cursor: str | None = None
    history = context.service.store.history
    for _ in range(_MOST_PAGES):
        without = ("result", "error", "traceback")
        page = await history.search(wanted, limit=_PAGE, cursor=cursor, without=without)
        runs += [row.run for row in page.rows]
        cursor = page.cursor
        if cursor is None or len(runs) >= MAX_ITEMS:
            break
    more = max(0, len(runs) - MAX_ITEMS)
    for run in runs[:MAX_ITEMS]:
        audit_subject.note_run(run.id, run.job_id, run.job_name)
    if cursor is not None:
        count, _ = await history.count(wanted, 2 * MAX_ITEMS)
        more = max(more, count - MAX_ITEMS)
    return Chosen(runs[:MAX_ITEMS], {}, more, cursor is None)


async def act(
    context: Context, action: str, runs: Sequence[Run], *, kill: bool = False
) -> list[dict[str, object]]:
    """Retry or cancel *runs*; return what became of each."""
    results: list[dict[str, object]] = []
    for start in range(0, len(runs), _AT_ONCE):
        part = runs[start : start + _AT_ONCE]
        results += await asyncio.gather(*(_act(context, action, run, kill=kill) for run in part))
        await context.breathe()
    return results


async def _act(context: Context, action: str, run: Run, *, kill: bool) -> dict[str, object]:
    request_id = context.service.new_request_id()
    if action == "retry" and run.state in OPEN_STATES:
        why = f"{run.id} has not ended: it is {run.state.value}"
        return _refused(run.id, run, ApiError("conflict", why))
    try:
        if action == "cancel":
            await context.ask(CancelRequested(request_id, run.id, kill))
            return _shown(run)
        reply = await context.ask(RetryRequested(request_id, run))
    except (ApiError, LuadError) as error:
        known = from_luad_error(error) if isinstance(error, LuadError) else error
        return _refused(run.id, run, known)
    again = reply.value
    return {**_shown(run), "new_run_id": again.id if isinstance(again, Run) else None}


def _shown(run: Run) -> dict[str, object]:
    return {"run": run.id, "job": run.job_name, "job_id": run.job_id, "ok": True, "status": 202}


def _refused(run_id: str, run: Run | None, error: ApiError) -> dict[str, object]:
    known = {} if run is None else {"job": run.job_name, "job_id": run.job_id}
    return {
        "run": run_id,
        **known,
        "ok": False,
        "status": error.status,
        "error": shown_error(error),
    }
