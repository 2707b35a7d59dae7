"""The policies for lateness, catch-up, overlap and retry: one pure function each.

Rule: decisions are values; other modules carry them out.

Catch-up, for a job whose occurrences until `after` are handled::

    after           now - window                    now
      |  x  x  x  x      |       o     o     o       |
         too late        |       fresh               |
      -> one MISSED row       latest: the last runs, the others are one COALESCED row
                              all:    each runs, up to CATCH_UP_CAP; beyond it like `latest`
                              none:   the last runs if it is on time, the others are MISSED
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, assert_never

from luad.core.lifecycle import RunEvent
from luad.core.model import (
    CATCH_UP_CAP,
    MINUTE,
    SECOND,
    CatchUp,
    Ending,
    EndKind,
    Instant,
    Job,
    Occurrence,
    OnLost,
    Overlap,
    Reason,
    Retry,
    RunState,
    Skip,
)
from luad.core.schedule import count_occurrences, fire_at, latest_occurrence, occurrences
from luad.core.schedule import next_occurrence as next_nominal
from luad.core.values import dataclass

ON_TIME_MS: Final = MINUTE
"""An occurrence that is at most this late counts as on time."""

LEAST_WINDOW_MS: Final = SECOND
"""The smallest effective window, because no run starts exactly on time."""

COUNT_CAP: Final = 1_000
"""The largest count of occurrences that did not run; above it, the row says "at least"."""


# --- catch-up ----------------------------------------------------------------------------------


def is_on_time(job: Job, late_ms: int) -> bool:
    """Return whether an occurrence that is *late_ms* late runs under every catch-up policy."""
    return late_ms <= min(ON_TIME_MS, _window_ms(job))


def is_too_late(job: Job, late_ms: int) -> bool:
    """Return whether an occurrence that is *late_ms* late must not start any more."""
    return late_ms > _window_ms(job)


def never_starts(job: Job, late_ms: int) -> bool:
    """Return whether the only occurrence of a job does not run if it is *late_ms* late."""
    return is_too_late(job, late_ms) or (
        job.catch_up is CatchUp.NONE and not is_on_time(job, late_ms)
    )


def _window_ms(job: Job) -> int:
    return max(job.catch_up_window_ms, LEAST_WINDOW_MS)


@dataclass(frozen=True, slots=True)
class Due:
    """The decision about due occurrences: *runs*, earliest first, and *skips*."""

    runs: tuple[Occurrence, ...] = ()
    skips: tuple[Skip, ...] = ()
    handled_until: Instant | None = None

    @property
    def skipped_count(self) -> int:
        """The number of occurrences that the last run replaces besides its own."""
        return sum(skip.count for skip in self.skips)


NOTHING_DUE: Final = Due()


def last_fired(job: Job, grid_at: Instant, after: Instant, now: Instant) -> Occurrence | None:
    """Return the latest occurrence after *after* whose fire time has come by *now*."""
    nominal = latest_occurrence(job.schedule, grid_at, after, now)
    if nominal is None:
        return None
    fires = fire_at(job, grid_at, nominal)
    if fires > now:  # jitter stays below the gap, so only the last one can still be waiting
        nominal = latest_occurrence(job.schedule, grid_at, after, nominal - 1)
        if nominal is None:
            return None
        fires = fire_at(job, grid_at, nominal)
    return Occurrence(nominal, fires)


def due_until(job: Job, grid_at: Instant, after: Instant, now: Instant, cause: Reason) -> Due:
    """Return the decision about each occurrence in (*after*, *now*] whose fire time has come.

    *cause*: why occurrences are late; it becomes the reason of the missed ones.
    """
    last = last_fired(job, grid_at, after, now)
    if last is None:
        return NOTHING_DUE
    if is_too_late(job, now - last.fire_at):
        missed = skip_range(job, grid_at, after, last.scheduled_for, RunState.MISSED, cause)
        return Due(skips=missed, handled_until=last.scheduled_for)

    horizon = now - _window_ms(job) - job.jitter_ms
    fresh_after = max(after, min(horizon, last.scheduled_for) - 1)
    too_late = skip_range(job, grid_at, after, fresh_after, RunState.MISSED, cause)
    match job.catch_up:
        case CatchUp.ALL:
            nominals = occurrences(
                job.schedule, grid_at, fresh_after, last.scheduled_for, CATCH_UP_CAP + 1
            )
            if len(nominals) <= CATCH_UP_CAP:
                fires = [Occurrence(at, fire_at(job, grid_at, at)) for at in nominals]
                # The horizon allows for the longest jitter; an occurrence with less may be too late.
                runs = tuple(each for each in fires if not is_too_late(job, now - each.fire_at))
                if late := fires[: len(fires) - len(runs)]:
                    missed_until = late[-1].scheduled_for
                    too_late = skip_range(job, grid_at, after, missed_until, RunState.MISSED, cause)
                return Due(runs, too_late, last.scheduled_for)
            others = (RunState.SKIPPED, Reason.COALESCED)
        case CatchUp.LATEST:
            others = (RunState.SKIPPED, Reason.COALESCED)
        case CatchUp.NONE:
            others = (RunState.MISSED, cause)
            if now - last.fire_at > ON_TIME_MS:
                missed = skip_range(job, grid_at, after, last.scheduled_for, *others)
                return Due(skips=missed, handled_until=last.scheduled_for)
        case _ as unreachable:
            assert_never(unreachable)
    earlier = skip_range(job, grid_at, fresh_after, last.scheduled_for - 1, *others)
    return Due((last,), too_late + earlier, last.scheduled_for)


def skip_range(
    job: Job, grid_at: Instant, after: Instant, until: Instant, state: RunState, reason: Reason
) -> tuple[Skip, ...]:
    """Return one row for all occurrences in (*after*, *until*], or none when there are none."""
    last = latest_occurrence(job.schedule, grid_at, after, until) if until > after else None
    if last is None:
        return ()
    first = next_nominal(job.schedule, grid_at, after)
    assert first is not None
    count, is_capped = count_occurrences(job.schedule, grid_at, after, until, COUNT_CAP)
    return (Skip(state, reason, first, last, count, is_capped),)


# --- overlap -----------------------------------------------------------------------------------


class Start(StrEnum):
    """The decision about one due occurrence."""

    NOW = "now"
    WHEN_ENDED = "when_ended"  # wait for the open run to end by itself
    INSTEAD = "instead"  # end the open run, then start
    NEVER = "never"


def when_due(
    overlap: Overlap, *, open_count: int, waiting_count: int, max_running: int, is_backlog: bool
) -> Start:
    """Return the decision about one occurrence while *open_count* runs of its job are open.

    *waiting_count* of those wait for another run to end. *is_backlog*: one of several late occurrences that
    `catch_up: all` starts; they run one after the other under every overlap policy.
    """
    if open_count == 0:
        return Start.NOW
    if is_backlog and (overlap is not Overlap.ALLOW or open_count >= max_running):
        return Start.WHEN_ENDED
    match overlap:
        case Overlap.SKIP:
            return Start.NEVER
        case Overlap.QUEUE:
            return Start.WHEN_ENDED if waiting_count == 0 else Start.NEVER
        case Overlap.REPLACE:
            return Start.INSTEAD
        case Overlap.ALLOW:
            return Start.NOW if open_count < max_running else Start.NEVER
        case _ as unreachable:
            assert_never(unreachable)


# --- what follows an ending --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about an ending; *retry_at* is set exactly if *event* is RETRY."""

    event: RunEvent
    retry_at: Instant | None = None


def after_ending(
    job: Job | None, attempt: int, ending: Ending, *, stopped_for: Reason | None = None
) -> Verdict:
    """Return the decision about the end of attempt number *attempt*.

    *job* is None once it is removed. *stopped_for*: why luad stopped the run. Another attempt can follow
    only a stop of the daemon; a run that a client or a policy stopped is over.
    """
    event = _outcome(ending)
    if stopped_for is not None and stopped_for is not Reason.STOPPED:
        return Verdict(RunEvent.CANCEL if event is RunEvent.LOSE else event)
    if event in {RunEvent.SUCCEED, RunEvent.CANCEL} or job is None:
        return Verdict(event)
    if event is RunEvent.FAIL and not ending.is_retryable:
        return Verdict(event)
    if event is RunEvent.LOSE:
        # `on_lost: retry` allows one more start even where `retry` does not. It counts as an attempt,
        # so a run that crashes the daemon cannot repeat for ever.
        if job.on_lost is OnLost.FAIL or attempt >= max(job.retry.max_attempts, 2):
            return Verdict(event)
    elif attempt >= job.retry.max_attempts:
        return Verdict(event)
    return Verdict(RunEvent.RETRY, ending.at + retry_delay_ms(job.retry, attempt))


def _outcome(ending: Ending) -> RunEvent:
    match ending.kind:
        case EndKind.RETURNED:
            return RunEvent.SUCCEED
        case EndKind.EXITED:
            return RunEvent.SUCCEED if ending.exit_code == 0 else RunEvent.FAIL
        case EndKind.RAISED | EndKind.SIGNALLED | EndKind.NOT_STARTED:
            return RunEvent.FAIL
        case EndKind.TIMED_OUT:
            return RunEvent.TIME_OUT
        case EndKind.CANCELLED:
            return RunEvent.CANCEL
        case EndKind.LOST:
            return RunEvent.LOSE
        case _ as unreachable:
            assert_never(unreachable)


def retry_delay_ms(retry: Retry, attempt: int) -> int:
    """Return the delay after the failure of attempt number *attempt* (from 1)."""
    assert attempt >= 1
    delay = float(retry.backoff_ms)
    for _ in range(min(attempt - 1, 1_000)):
        if delay >= retry.max_backoff_ms or retry.multiplier == 1:
            break
        delay *= retry.multiplier
    return int(min(delay, retry.max_backoff_ms))


def pauses_after(job: Job, consecutive_failures: int) -> bool:
    """Return whether so many failures in a row pause the job."""
    limit = job.pause_after_failures
    return limit is not None and consecutive_failures >= limit
