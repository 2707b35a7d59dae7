"""Jobs that are gone, as far as their history still tells of them.

Rule: a job that is gone can be looked at, and nothing can be asked of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.api.http.api_problems import ApiError
from luad.api.json import views
from luad.api.json.job_summary import moment
from luad.config.jobs.stored_jobs import job_from_store
from luad.core.installed import JobStatus
from luad.core.lifecycle import NEVER_RAN, duration_ms
from luad.core.model import RunState
from luad.errors import StoreUnavailableError
from luad.live.job_state import JobStateView
from luad.live.recent_runs import LastRun
from luad.live.strips import STRIP
from luad.store.query_types import RunFilter

if TYPE_CHECKING:
    from luad.api.service import Service
    from luad.store.query_types import RunRow


async def find_gone(service: Service, name: str) -> JobStateView | None:
    """Return the job that is gone and has that id, or the newest one that had that name."""
    try:
        found = await service.store.gone_job(name)
    except StoreUnavailableError:
        return None
    if found is None:
        return None
    try:
        job = job_from_store(found.definition, found.revision)
    except ValueError:  # an older luad has stored what this one cannot read
        return None
    at = found.at
    if at is None:
        rows, _ = await service.store.runs(RunFilter(job_id=found.job_id), limit=1)
        at = max([found.installed_at, *(row.run.ended_at or row.run.claimed_at for row in rows)])
    return JobStateView(
        job,
        found.job_id,
        found.installed_at,
        found.installed_at,
        found.origin,
        status=found.status,
        creation=found.creation,
        version=found.revision,
        holds_name=False,
        over_at=at if found.status is JobStatus.COMPLETED else None,
        gone_at=at,
    )


async def earlier_id(service: Service, name: str, job_id: str) -> str | None:
    """Return the id of the newest job that is gone and had that name, other than *job_id*."""
    try:
        return await service.store.earlier_id(name, job_id)
    except StoreUnavailableError:
        return None


def refusal(state: JobStateView) -> ApiError:
    """Return the error for a request that asks something of a job that is gone."""
    assert state.gone_at is not None, "the job is there"
    name = state.job.name
    return ApiError(
        "not_found",
        f"the job `{name}` ({state.job_id}) is {state.status.value} since {moment(state.gone_at)}",
        hint=f"its history is there: luad history {state.job_id}; to have it again, create it anew",
    )


async def whole_gone_job(service: Service, state: JobStateView) -> dict[str, object]:
    """Return everything that the history shows of a job that is gone."""
    rows, _ = await service.store.runs(RunFilter(job_id=state.job_id), limit=STRIP)
    recent = [_cell(row) for row in reversed(rows)]
    details = views.detail_part(state, service.clock.now().wall)
    return {**views.job_view(state, _last(rows), recent), **details}


def _last(rows: list[RunRow]) -> LastRun | None:
    ran = [row.run for row in rows if row.run.state not in NEVER_RAN]
    if not ran:
        return None
    newest = ran[0]
    ended = next((run.state for run in ran if views.is_over(run.state)), None)
    return LastRun(newest.id, newest.state, newest.started_at, newest.ended_at, ended)


def _cell(row: RunRow) -> dict[str, object]:
    run = row.run
    took = duration_ms(run.started_at, run.ended_at)
    return {"id": run.id, "status": RunState(run.state).value, "duration_ms": took}
