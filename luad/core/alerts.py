"""Alerts: one message when a job begins to fail, one when it recovers.

Rule: decides by the alert policy and the state of the job, and adds messages; changes nothing else.
A paused job causes no alert, nor does one whose trouble a client has acknowledged.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from luad.core.events import AddMessage, Deliver
from luad.core.ids import make_id
from luad.core.installed import NO_ALERT, Acknowledgement, AlertState
from luad.core.messaging import Message
from luad.core.model import DAY, AlertCause, AlertPolicy, Instant, Once, Run, RunState, Skip
from luad.core.state import Entry, State

_MOST_COUNTED: Final = 100
"""Failures of a day that are counted; beyond it one more makes no difference."""

_MANY_FAILURES: Final = "failures"
_FAILURES_IN_A_DAY: Final = "failures in 24 h"
_LOST: Final = "lost"


def ended(state: State, entry: Entry, run: Run, now: Instant) -> None:
    """Alert about the end of a run; the caller has counted its failures in a row."""
    if run.state is RunState.SUCCEEDED and entry.alert.acknowledged is not None:
        _save(state, entry, replace(entry.alert, acknowledged=None))
    policy = _policy(state, entry)
    if policy is None:
        return
    before = entry.alert
    failed_at = tuple(at for at in before.failed_at if at > now - DAY)
    if run.state is RunState.SUCCEEDED:
        after = replace(before, failed_at=failed_at, succeeded_at=run.ended_at)
        if before.cause and _is_over(policy, after):
            after = replace(after, cause="")
            _tell_recovery(state, entry, policy, before, run, now)
    else:
        failed_at = (*failed_at, now)[-_MOST_COUNTED:]
        after = replace(before, failed_at=failed_at)
        cause = _cause(policy, entry, run, after)
        if cause and not before.cause and _may_tell(entry, now):
            after = replace(after, cause=cause)
            _tell_failure(state, entry, policy, after, run, now)
    _save(state, entry, after)


def missed(state: State, entry: Entry, skip: Skip, row_id: str, now: Instant) -> None:
    """Alert about occurrences that did not run because they were too late."""
    policy = _policy(state, entry)
    if policy is None or AlertCause.MISSED not in policy.also:
        return
    if entry.alert.cause or not _may_tell(entry, now):
        return
    after = replace(entry.alert, cause=AlertCause.MISSED.value)
    count = f"at least {skip.count}" if skip.is_count_capped else str(skip.count)
    span = f"from {_shown(skip.first)} to {_shown(skip.last)}"
    what = f"{count} due {span} did not run: {skip.reason.value}."
    lines = [what, *_background(entry, after)]
    _post(state, entry, policy, f"{entry.job.name} was missed", lines, (row_id, "missed"), now)
    _save(state, entry, after)


def stale(state: State, entry: Entry, *, is_stale: bool, now: Instant) -> None:
    """Alert that the file of a job is broken, or clear an earlier alert once it is good.

    An earlier alert is cleared even if the policy has changed since.
    """
    before = entry.alert
    policy = _policy(state, entry)
    if not is_stale:
        if before.cause == AlertCause.STALE_CONFIG.value:
            _tell_mended(state, entry, policy, now)
            _save(state, entry, replace(before, cause=""))
        return
    if policy is None or AlertCause.STALE_CONFIG not in policy.also:
        return
    name, origin = entry.job.name, entry.wanted.origin
    path = origin.path if origin else "its file"
    if not before.cause and _may_tell(entry, now):
        after = replace(before, cause=AlertCause.STALE_CONFIG.value)
        lines = [f"{path} is broken; the last good version goes on.", "luad check shows why."]
        _post(state, entry, policy, f"{name}: its file is broken", lines, ("stale", now), now)
        _save(state, entry, after)


def acknowledge(state: State, entry: Entry, known: Acknowledgement) -> None:
    """Keep alerts about the job back until it has succeeded, or *known* ends."""
    _save(state, entry, replace(entry.alert, acknowledged=known))


# --- deciding ----------------------------------------------------------------------------------


def _policy(state: State, entry: Entry) -> AlertPolicy | None:
    policy = entry.job.alert or state.bounds.default_alert
    return policy if policy is not None and policy.to else None


def _may_tell(entry: Entry, now: Instant) -> bool:
    """Return whether trouble with the job is told: not while it is paused, or acknowledged."""
    return entry.halt is None and not entry.alert.is_acknowledged(now)


def _cause(policy: AlertPolicy, entry: Entry, run: Run, after: AlertState) -> str:
    """Return the cause of an alert about the failure of *run*; empty if it causes none."""
    error = run.ending.error if run.ending else None
    if run.state is RunState.TIMED_OUT and AlertCause.TIMEOUT in policy.also:
        return AlertCause.TIMEOUT.value
    if (
        error is not None
        and error.type.rpartition(".")[2] == "DeliveryFailed"
        and AlertCause.DELIVERY_FAILED in policy.also
    ):
        return AlertCause.DELIVERY_FAILED.value
    counts = policy.after_failures is not None or policy.failures_in_24h is not None
    if counts and run.state is RunState.LOST and isinstance(entry.job.schedule, Once):
        return _LOST  # no later run can add to this failure
    if policy.after_failures is not None and entry.consecutive_failures >= policy.after_failures:
        return _MANY_FAILURES
    if policy.failures_in_24h is not None and len(after.failed_at) >= policy.failures_in_24h:
        return _FAILURES_IN_A_DAY
    return ""


def _is_over(policy: AlertPolicy, after: AlertState) -> bool:
    """Return whether a success ends the alert.

    A job that fails every other time does not recover every other time: after an alert about failures
    in 24 h, the failures of the last day must fall below the limit first.
    """
    if after.cause == AlertCause.STALE_CONFIG.value:
        return False
    limit = policy.failures_in_24h
    return after.cause != _FAILURES_IN_A_DAY or limit is None or len(after.failed_at) < limit


def _save(state: State, entry: Entry, after: AlertState) -> None:
    if after != entry.alert:
        entry.alert = after if after != NO_ALERT else NO_ALERT
        state.mark_changed(entry)


# --- messages ----------------------------------------------------------------------------------


def _tell_failure(
    state: State, entry: Entry, policy: AlertPolicy, after: AlertState, run: Run, now: Instant
) -> None:
    count = entry.consecutive_failures
    many = f"{count} failures in a row" if count > 1 else "1 failure"
    if after.cause == _FAILURES_IN_A_DAY:
        many = f"{len(after.failed_at)} failures in 24 h"
    error = run.ending.error if run.ending else None
    what = f"{error.type}: {error.message}" if error else run.state.value.replace("_", " ")
    lines = [what, f"{many}, the last in {run.id}.", *_background(entry, after)]
    lines.append(f"luad logs {run.id}")
    status = run.state.value.replace("_", " ")
    _post(state, entry, policy, f"{entry.job.name} {status}", lines, (run.id,), now, run.id)


def _tell_recovery(
    state: State, entry: Entry, policy: AlertPolicy, before: AlertState, run: Run, now: Instant
) -> None:
    if not policy.recovery or entry.halt is not None:
        return
    lines = [f"{run.id} succeeded; it was in trouble because of: {before.cause}."]
    title = f"{entry.job.name} recovered"
    _post(state, entry, policy, title, lines, (run.id, "recovery"), now, run.id)


def _tell_mended(state: State, entry: Entry, policy: AlertPolicy | None, now: Instant) -> None:
    if policy is None or not policy.recovery or entry.halt is not None:
        return
    path = entry.wanted.origin.path if entry.wanted.origin else "its file"
    title = f"{entry.job.name} recovered"
    _post(state, entry, policy, title, [f"{path} is good again."], ("mended", now), now)


def _background(entry: Entry, after: AlertState) -> list[str]:
    at = after.succeeded_at
    lines = ["It has not succeeded yet." if at is None else f"Last success: {_shown(at)}."]
    if entry.wanted.origin is not None:
        lines.append(f"Declared in {entry.wanted.origin.path}:{entry.wanted.origin.line}.")
    return lines


def _post(
    state: State,
    entry: Entry,
    policy: AlertPolicy,
    title: str,
    lines: list[str],
    cause: tuple[object, ...],
    now: Instant,
    run_id: str | None = None,
) -> None:
    text = "\n".join(lines)
    state.log("alert.sent", level="warning", job=entry.job.name, title=title, to=list(policy.to))
    for user in policy.to:
        message = Message(
            make_id("msg", now, entry.job_id, user, *cause),
            user,
            now,
            ({"type": "text", "text": text},),
            title=title,
            priority="high",
            kind="alert",
            job_name=entry.job.name,
            run_id=run_id,
        )
        state.out += (AddMessage(message), Deliver(message))


def _shown(at: Instant) -> str:
    return f"{datetime.fromtimestamp(at / 1_000, UTC):%a %d %b %Y %H:%M:%S} UTC"
