"""Why a job did or did not run at an instant, in a sentence.

Rule: pure; says what the row of the history says, with the zone in which the schedule is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.api.json.job_summary import moment
from luad.core.installed import JobStatus
from luad.core.lifecycle import duration_ms
from luad.core.model import Interval, Reason, RunState
from luad.wire import format_duration_ms

if TYPE_CHECKING:
    from luad.core.model import Instant, Run
    from luad.live.job_state import JobStateView

_REASONS: Final = {
    Reason.OVERLAP: "the run before it was still going on, and the overlap policy is `{overlap}`",
    Reason.PAUSED: "the job was paused",
    Reason.COALESCED: "several occurrences were due at once, and `catch_up` ran only the latest of them",
    Reason.REMOVED: "the job was removed before the run could start",
    Reason.DRAINING: "luad was shutting down",
    Reason.DOWNTIME: "luad was not running at that time",
    Reason.CLOCK: "the clock of the machine was set past that instant",
    Reason.OVERLOAD: "luad was so late that `catch_up_window` was over",
    Reason.PAST: "that instant was past when the job was installed",
    Reason.REPLACED: "the next run replaced it, as the overlap policy is `replace`",
    Reason.REQUESTED: "a client cancelled it",
    Reason.STOPPED: "a stop of luad ended it",
}


def explain_row(state: JobStateView, run: Run, *, count: int = 1, queue: str | None = None) -> str:
    """Return what became of the occurrence of *run*, a row for *count* of them.

    *queue*: the queue that the run waits in, if no worker serves it.
    """
    when = at_of(state, run.scheduled_for)
    why = "" if run.reason is None else _REASONS[run.reason].format(overlap=state.job.overlap.value)
    if run.state in {RunState.SKIPPED, RunState.MISSED}:
        many = f" ({count} occurrences until then)" if count > 1 else ""
        return f"It did not run on {when}{many}: {why or run.state.value}."
    took = duration_ms(run.started_at, run.ended_at)
    lasted = "" if took is None else f", after {format_duration_ms(took)}"
    error = run.ending.error if run.ending else None
    match run.state:
        case RunState.SUCCEEDED:
            return f"It ran for {when}, and succeeded{lasted}."
        case RunState.QUEUED | RunState.RUNNING if queue is not None:
            return f"Its run for {when} waits: no worker serves the queue `{queue}`."
        case RunState.QUEUED:
            return f"Its run for {when} waits for its start."
        case RunState.RUNNING | RunState.RETRYING:
            return f"Its run for {when} has not ended: it is {run.state.value} (attempt {run.attempt})."
        case _:
            what = f": {error.type}: {error.message}" if error else f": {why}" if why else ""
            return (
                f"It ran for {when}, and {run.state.value.replace('_', ' ')}{lasted}{what[:500]}."
            )


def explain_nothing(
    state: JobStateView, at: Instant | None, now: Instant, due: Instant | None
) -> str:
    """Return why there is no row for *at*; None: for any instant. *due*: the next occurrence from *at* on."""
    if at is None:
        return "It has not run yet, and no occurrence was skipped."
    when = at_of(state, at)
    if at < state.installed_at:
        return f"There was no such job on {when}: it was installed on {at_of(state, state.installed_at)}."
    if due is None:
        return f"It was not due on {when}: its schedule has no occurrence from then on."
    if due != at:
        return f"It is not due on {when}: the next occurrence from then on is {at_of(state, due)}."
    if at > now:
        return f"It is due on {when}, which is still to come."
    return f"It was due on {when} by its schedule of today, but the history has no row of that time any more."


def way_out(state: JobStateView) -> str:
    """Return the sentence that tells how to end the pause of a job; empty for a job that is not paused."""
    if state.gone_at is not None or state.status is not JobStatus.PAUSED:
        return ""
    if state.pause is None:
        place = "its definition" if state.origin is None else state.origin.path
        return f" To schedule it, write  enabled: true  in {place}"
    if not state.holds_name:
        return " It goes on once no file declares its name."
    return f" To end the pause, type  luad resume {state.key}"


def at_of(state: JobStateView, at: Instant) -> str:
    """Return an instant in words, in the zone of the job's schedule."""
    schedule = state.job.schedule
    return moment(at, "UTC" if isinstance(schedule, Interval) else schedule.timezone)
