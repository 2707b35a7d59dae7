"""Names of jobs: holding, displacing, giving back.

Rule: one job holds a name. A static job displaces the dynamic job that holds its name, which is paused until
the static job is removed. A `once` job that is over gives its name to the next job that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from luad.core.installed import JobStatus, Pause, Standing
from luad.core.model import DAY, Instant, Once, Origin, Reason, RunState
from luad.core.state import Entry, State
from luad.core.values import replace

PAUSED_BY_LUAD: Final = "luad"


def is_over(state: State, entry: Entry) -> bool:
    """Return whether a `once` job is over: no further occurrence, and no open run."""
    is_completed = isinstance(entry.job.schedule, Once) and entry.status is JobStatus.COMPLETED
    return is_completed and not state.runs.open_count(entry.job_id)


def is_over_for_a_day(over_at: Instant | None, now: Instant) -> bool:
    """Return whether a job has been over for a day, after which its failure is old news."""
    return over_at is not None and over_at <= now - DAY


def mark_over(state: State, now: Instant) -> None:
    """Update which `once` jobs are over; looks at the jobs that changed since the last call."""
    for entry in state.take_maybe_over():
        was_over = entry.standing.over_at is not None
        if is_over(state, entry) is not was_over:
            over_at = None if was_over else now
            state.set_standing(entry, replace(entry.standing, over_at=over_at))


def mark_over_restored(state: State) -> None:
    """Update which restored jobs are over, where the store has no instant for it."""
    ended = [
        entry
        for entry in state.entries.values()
        if isinstance(entry.job.schedule, Once)
        and entry.standing.over_at is None
        and is_over(state, entry)
    ]
    for entry in ended:
        over_at = entry.handled_until
        state.set_standing(entry, replace(entry.standing, over_at=over_at))
    order = {job_id: state.entries[state.names[job_id]].standing.over_at for job_id in state.over}
    state.over = dict.fromkeys(sorted(order, key=lambda job_id: order[job_id] or 0))


def release_name(state: State, entry: Entry) -> None:
    """Take its name from a job that is over."""
    state.set_standing(entry, replace(entry.standing, holds_name=False))


def displace(state: State, entry: Entry, origin: Origin | None, now: Instant) -> None:
    """Pause the dynamic job *entry*, because the file of *origin* declares its name."""
    pause = Pause(now, _reason(origin), PAUSED_BY_LUAD)
    standing = replace(entry.standing, holds_name=False, displaced=pause)
    state.set_standing(entry, standing)
    for run in state.runs.of_job(entry.job_id):
        if run.state is RunState.QUEUED:
            state.runs.cancel(run, Reason.PAUSED, now, state.timetable)
    _log(state, "job.paused", entry, reason=pause.reason, level="warning")


def give_to_heir(state: State, name: str) -> None:
    """Give a free name to the job that waits for it: the displaced job, else the newest."""
    waiting = state.nameless.get(name)
    if not waiting or name in state.entries:
        return
    entries = [state.entries[job_id] for job_id in waiting]
    heir = max(entries, key=_claim)
    was_displaced = heir.standing.displaced is not None
    if was_displaced and heir.pause is None:
        heir.open_skip = None
    state.set_standing(heir, Standing(over_at=heir.standing.over_at))
    if was_displaced:
        _log(state, "job.resumed", heir)


def update_displaced(state: State, names: Iterable[str]) -> None:
    """Update the reason of the displaced jobs of *names*, or give the name back if no job holds it."""
    for name in names:
        if name not in state.nameless:
            continue
        holder = state.entries.get(name)
        if holder is None:
            give_to_heir(state, name)
            continue
        for job_id in tuple(state.nameless[name]):
            entry = state.entries[job_id]
            was, reason = entry.standing.displaced, _reason(holder.wanted.origin)
            if was is not None and was.reason != reason:
                displaced = replace(was, reason=reason)
                state.set_standing(entry, replace(entry.standing, displaced=displaced))


def _claim(entry: Entry) -> tuple[bool, Instant, str]:
    return entry.standing.displaced is not None, entry.installed_at, entry.job_id


def _reason(origin: Origin | None) -> str:
    return f"name declared by {origin.path if origin else 'a file'}"


def _log(state: State, event: str, entry: Entry, *, reason: str = "", level: str = "info") -> None:
    name = entry.job.name
    state.log(event, level=level, job=name, id=entry.job_id, reason=reason, author=PAUSED_BY_LUAD)
