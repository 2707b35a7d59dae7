"""Routes of statistics: of the last runs of a job, and of all runs since an instant.

Rule: as in `routes_jobs`. Both are read from the store, and kept for ten seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from luad.api.context import context_of, json_response
from luad.api.http.request_input import wrong_parameter
from luad.api.json import views
from luad.api.routes.endpoint import query_of
from luad.core.model import DAY, RunState
from luad.store.run_stats import Group, HistoryStats, JobStats, Outcomes

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.core.model import Instant

DEFAULT_RUNS: Final = 200
DEFAULT_SPAN: Final = DAY
LONGEST_SPAN: Final = 92 * DAY
MOST_JOBS: Final = 200
"""Jobs of one answer: those with the most failures, then those with the most runs."""


async def stats_of_job(context: Context, job_id: str, count: int = DEFAULT_RUNS) -> JobStats:
    """Return the numbers about the last *count* rows of a job, at most ten seconds old."""
    work = context.service.store.history.stats_of_job(job_id, count)
    found = await context.kept.get(("job", job_id, count), work)
    assert isinstance(found, JobStats)
    return found


async def stats_since(context: Context, span_ms: int, group: Group) -> HistoryStats:
    """Return the numbers about all rows of the last *span_ms*, at most ten seconds old."""
    now = context.service.clock.now().wall
    work = context.service.store.history.stats_since(now - span_ms, now, group)
    found = await context.kept.get(("history", span_ms, group), work)
    assert isinstance(found, HistoryStats)
    return found


async def show_stats_of_job(request: Request) -> Response:
    """`GET /jobs/{job}/stats`: how the last runs of a job went, and how long they took."""
    context, query = context_of(request), query_of(request)
    state = await context.look_up(request.path_params["job"])
    count = query.number("runs", DEFAULT_RUNS)
    found = await stats_of_job(context, state.job_id, count)
    return json_response(
        {
            "job": state.job.name,
            "job_id": state.job_id,
            **outcomes_view(found.outcomes),
            "since": views.instant(found.since),
            "p50_ms": found.p50_ms,
            "p95_ms": found.p95_ms,
            "longest_ms": found.longest_ms,
            "mean_start_delay_ms": found.mean_start_delay_ms,
        }
    )


async def show_stats(request: Request) -> Response:
    """`GET /stats`: how all runs since an instant went, in all, by hour or by job."""
    context, query = context_of(request), query_of(request)
    group = next(iter(query.choices("by", Group)), Group.STATUS)
    now = context.service.clock.now().wall
    span_ms = query.span_ms("since", now, DEFAULT_SPAN)
    if span_ms > LONGEST_SPAN:
        raise wrong_parameter("since", f"more than {LONGEST_SPAN // DAY} days ago")
    found = await stats_since(context, span_ms, group)
    return json_response(history_view(found, group))


def history_view(found: HistoryStats, group: Group) -> dict[str, Any]:
    """Return statistics of the history as the API shows them."""
    rows: list[dict[str, Any]] = []
    for key, outcomes in _in_order(found, group):
        at = views.instant(key) if isinstance(key, int) else None
        name, job_id = key if isinstance(key, tuple) else (None, None)
        rows.append({"at": at, "job": name, "job_id": job_id, **outcomes_view(outcomes)})
    return {
        "since": views.instant(found.since),
        "covered_since": views.instant(found.covered_since),
        "is_complete": found.is_complete,
        "by": group.value,
        "total": outcomes_view(found.total),
        "rows": rows,
    }


def _in_order(
    found: HistoryStats, group: Group
) -> list[tuple[Instant | tuple[str, str], Outcomes]]:
    rows = list(found.groups.items())
    if group is not Group.JOB:
        return sorted(rows, key=lambda row: row[0] if isinstance(row[0], int) else 0)
    rows.sort(key=lambda row: (_bad(row[1]), row[1].counts.total()), reverse=True)
    return rows[:MOST_JOBS]


def _bad(outcomes: Outcomes) -> int:
    fine = (RunState.SUCCEEDED, RunState.RUNNING, RunState.QUEUED, RunState.CANCELLED)
    return outcomes.counts.total() - sum(outcomes.counts[state] for state in fine)


def outcomes_view(outcomes: Outcomes) -> dict[str, Any]:
    """Return the numbers of rows by state, and the share of the runs that succeeded."""
    rate = outcomes.success_rate
    return {
        "runs": outcomes.counts.total(),
        "status": {state.value: outcomes.counts[state] for state in RunState},
        "success_rate": None if rate is None else round(rate, 4),
    }
