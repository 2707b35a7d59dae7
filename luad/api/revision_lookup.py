"""Revisions of a job: found, compared with the one in force, and made a job again.

Rule: what a file declares, the file decides: its revisions can only be read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from luad.api.creation_rules import check_job
from luad.api.http.api_problems import ApiError, echo
from luad.config.jobs.stored_jobs import job_from_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.api.service import Service
    from luad.core.model import JSON, Job
    from luad.live.job_state import JobStateView
    from luad.store.query_types import Revision

_LEAST_PREFIX: Final = 4
_MOST_LISTED: Final = 5


def difference(then: Mapping[str, JSON], now: Mapping[str, JSON]) -> list[dict[str, object]]:
    """Return each key that differs, with its value in the revision and in force."""
    keys = sorted({*then, *now})
    return [
        {"key": key, "then": then.get(key), "now": now.get(key)}
        for key in keys
        if (key in then) is not (key in now)
        or json.dumps(then[key], sort_keys=True) != json.dumps(now[key], sort_keys=True)
    ]


def why_not(state: JobStateView) -> str:
    """Return why no earlier revision of a job can be restored or executed; empty when it can."""
    if state.gone_at is not None:
        return f"the job is {state.status.value}; create it anew"
    if state.is_dynamic:
        return ""
    place = f"{state.origin.path}:{state.origin.line}" if state.origin else "a file"
    return f"{place} declares the job, so the file decides; write the earlier values into it"


async def earlier(service: Service, state: JobStateView, wanted: str) -> Job:
    """Return the job as its revision *wanted* declares it. Raises `ApiError`, as a creation does."""
    revisions = await service.store.job_revisions(state.job_id)
    found = _find(state, revisions, wanted)
    try:
        job = job_from_store(json.dumps(found.definition), found.revision)
    except ValueError as error:
        raise ApiError("validation", f"the revision cannot be read any more: {error}") from error
    check_job(service, job, has_new_handler=job.handler != state.job.handler)
    return job


def _find(state: JobStateView, revisions: Sequence[Revision], wanted: str) -> Revision:
    exact = [each for each in revisions if each.revision == wanted]
    begun = [each for each in revisions if each.revision.startswith(wanted)]
    found = exact or (begun if len(wanted) >= _LEAST_PREFIX else [])
    if len(found) == 1:
        return found[0]
    known = ", ".join(each.revision for each in (found or revisions)[:_MOST_LISTED])
    if found:
        raise ApiError("ambiguous", f"{echo(wanted)} begins several revisions", hint=known)
    raise ApiError(
        "not_found",
        f"{state.job.name} has no revision {echo(wanted)}",
        hint=f"it has {known}; luad revisions {state.key} shows them",
    )
