"""The JSON that the API shows: jobs, runs, what fires next, how the daemon is.

Rule: pure; values in, JSON values out. The shapes are the contract of docs/reference/http-api.md.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

from luad.api.json.job_summary import summarize
from luad.config.secrets import shown_definition
from luad.core.installed import JobStatus, Pause
from luad.core.lifecycle import duration_ms
from luad.core.messaging import Delivery, DeliveryState, Message
from luad.core.model import (
    MINUTE,
    SECOND,
    TERMINAL_STATES,
    Cron,
    Instant,
    Interval,
    Job,
    Once,
    Retry,
    Run,
    RunError,
    RunState,
    Schedule,
)
from luad.core.schedule import describe_schedule
from luad.live.job_state import health
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from luad.api.service import ReloadResult
    from luad.live.job_choice import JobCounts
    from luad.live.job_state import JobStateView
    from luad.live.recent_runs import LastRun

ARRIVED: Final = frozenset({DeliveryState.DELIVERED, DeliveryState.REPEATED})


def instant(at: Instant | None) -> str | None:
    """Return *at* as RFC 3339 in UTC, like `format_instant`, in a third of the time."""
    if at is None:
        return None
    minute, rest = divmod(at, MINUTE)
    second, millisecond = divmod(rest, SECOND)
    if millisecond:
        return f"{_minute_text(minute)}{second:02}.{millisecond:03}Z"
    return f"{_minute_text(minute)}{second:02}Z"


@lru_cache(maxsize=1024)
def _minute_text(minute: int) -> str:
    return format_instant(minute * MINUTE)[: -len("00Z")]


def seconds(duration_ms: int) -> int | float:
    """A duration in seconds, whole where it is."""
    return duration_ms // SECOND if duration_ms % SECOND == 0 else duration_ms / SECOND


# --- jobs --------------------------------------------------------------------------------------


def job_view(
    state: JobStateView, last: LastRun | None = None, recent_runs: Iterable[Any] = ()
) -> dict[str, Any]:
    """Return a job as the API shows it. *last*: its newest run that was really one."""
    fixed = fixed_part(state)
    changing = changing_part(state, last)
    return {**fixed, **changing, "summary": summarize(state), "recent_runs": list(recent_runs)}


def detail_part(state: JobStateView, now: Instant) -> dict[str, Any]:
    """Return the members that an answer about one job has, and a list has not."""
    due = state.next_fire_at
    return {
        "next_run_in_seconds": None if due is None else seconds(max(0, due - now)),
        "installed_at": instant(state.installed_at),
        "definition": shown_definition(state.job.definition),
        "running_runs": list(state.running),
    }


def fixed_part(state: JobStateView) -> dict[str, Any]:
    """Return what stays the same as long as the job's definition does."""
    return {name: member(state, None) for name, member in _FIXED.items()}


def changing_part(state: JobStateView, last: LastRun | None) -> dict[str, Any]:
    """Return the members that change while the job runs, without its summary and its recent runs."""
    return {name: member(state, last) for name, member in _CHANGING.items()}


def chosen_members(fields: Collection[str]) -> list[tuple[str, Member]]:
    """Return the members that *fields* name, as functions, without the recent runs."""
    every = {**_FIXED, **_CHANGING, "summary": lambda state, _: summarize(state)}
    return [(name, member) for name, member in every.items() if name in fields]


def _creation_view(state: JobStateView) -> dict[str, Any] | None:
    made = state.creation
    if made is None:
        return None
    return {"at": instant(made.at), "author": made.author, "run_id": made.run_id}


Member: TypeAlias = "Callable[[JobStateView, LastRun | None], Any]"

_FIXED: Final[dict[str, Member]] = {
    "id": lambda state, _: state.job_id,
    "name": lambda state, _: state.job.name,
    "description": lambda state, _: state.job.description,
    "handler": lambda state, _: state.job.handler,
    "source": lambda state, _: "api" if state.is_dynamic else "file",
    "dynamic": lambda state, _: state.is_dynamic,
    "enabled": lambda state, _: state.job.enabled,
    "schedule": lambda state, _: schedule_view(state.job.schedule),
    "schedule_text": lambda state, _: describe_schedule(state.job.schedule),
    "timezone": lambda state, _: timezone_of(state.job.schedule),
    "tags": lambda state, _: list(state.job.tags),
    "overlap": lambda state, _: state.job.overlap.value,
    "catch_up": lambda state, _: state.job.catch_up.value,
    "isolation": lambda state, _: state.job.isolation.value,
    "queue": lambda state, _: state.job.queue,
    "timeout_seconds": lambda state, _: state.job.timeout_ms and seconds(state.job.timeout_ms),
    "retry": lambda state, _: retry_view(state.job.retry),
    "user_id": lambda state, _: state.job.user,
    "metadata": lambda state, _: dict(state.job.metadata),
    "revision": lambda state, _: state.job.revision,
    "creation": lambda state, _: _creation_view(state),
}
_CHANGING: Final[dict[str, Member]] = {
    "status": lambda state, _: state.status.value,
    "active": lambda state, _: state.status is JobStatus.ACTIVE,
    "alert": lambda state, _: {"cause": state.alert_cause} if state.alert_cause else None,
    "health": lambda state, last: health(state.consecutive_failures, last, stale=state.stale).value,
    "last_run": lambda _, last: None if last is None else last_run_view(last),
    "running": lambda state, _: len(state.running),
    "queued": lambda state, _: state.queued,
    "consecutive_failures": lambda state, _: state.consecutive_failures,
    "next_run_at": lambda state, _: instant(state.next_fire_at),
    "next_scheduled_for": lambda state, _: instant(state.next_scheduled_for),
    "pause": lambda state, _: None if state.pause is None else pause_view(state.pause),
    "file": lambda state, _: file_view(state),
    "holds_name": lambda state, _: state.holds_name,
    "over_at": lambda state, _: instant(state.over_at),
    "gone_at": lambda state, _: instant(state.gone_at),
}


def last_run_view(last: LastRun) -> dict[str, Any]:
    """The newest run, in short."""
    return {
        "id": last.id,
        "status": last.state.value,
        "started_at": instant(last.started_at),
        "completed_at": instant(last.ended_at),
        "duration_ms": last.duration_ms,
    }


def schedule_view(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule with the keys of a job file."""
    match schedule:
        case Cron():
            return {
                "type": "cron",
                "expression": schedule.expression,
                "timezone": schedule.timezone,
            }
        case Interval():
            view: dict[str, Any] = {"type": "interval", "seconds": seconds(schedule.every_ms)}
            if schedule.start_at is not None:
                view["start_at"] = instant(schedule.start_at)
            return view
        case Once():
            return {
                "type": "once",
                "execute_at": instant(schedule.execute_at),
                "timezone": schedule.timezone,
            }
        case _ as unreachable:
            assert_never(unreachable)


def timezone_of(schedule: Schedule) -> str:
    """The zone in which the schedule is meant; an interval has none and is shown in UTC."""
    return "UTC" if isinstance(schedule, Interval) else schedule.timezone


def retry_view(retry: Retry) -> dict[str, Any]:
    """Return a retry policy with the keys of a job file."""
    return {
        "max_attempts": retry.max_attempts,
        "backoff_seconds": seconds(retry.backoff_ms),
        "backoff_multiplier": retry.multiplier,
        "max_backoff_seconds": seconds(retry.max_backoff_ms),
    }


def pause_view(pause: Pause) -> dict[str, Any]:
    """Return a pause: its author, reason, start and end."""
    return {
        "reason": pause.reason,
        "author": pause.author,
        "until": instant(pause.until),
        "at": instant(pause.at),
    }


def file_view(state: JobStateView) -> dict[str, Any] | None:
    """Where a static job was declared."""
    if state.origin is None:
        return None
    return {
        "path": state.origin.path,
        "line": state.origin.line,
        "revision": state.job.revision,
        "stale": state.stale,
    }


# --- runs --------------------------------------------------------------------------------------


def run_view(
    run: Run,
    job: Job | None = None,
    *,
    first: Instant | None = None,
    count: int = 1,
    is_capped: bool = False,
) -> dict[str, Any]:
    """Return a row of the history. *job*: the job as it is now, if it is still there. A row that
    never became a run stands for *count* occurrences from *first* on, or for more if *is_capped*."""
    ending = run.ending
    error = None if ending is None else ending.error
    started, ended = run.started_at, run.ended_at
    return {
        "id": run.id,
        "job": run.job_name,
        "job_id": run.job_id,
        "user_id": run.user,
        "status": run.state.value,
        "trigger": run.trigger.value,
        "scheduled_for": instant(run.scheduled_for),
        "fire_at": instant(run.fire_at),
        "claimed_at": instant(run.claimed_at),
        "started_at": instant(started),
        "completed_at": instant(ended),
        "duration_ms": duration_ms(started, ended),
        "start_delay_ms": None if started is None else max(0, started - run.fire_at),
        "attempt": run.attempt,
        "max_attempts": None if job is None else job.retry.max_attempts,
        "missed_count": run.missed_count,
        "count": count,
        "count_is_capped": is_capped,
        "first_scheduled_for": instant(run.scheduled_for if first is None else first),
        "reason": None if run.reason is None else run.reason.value,
        "revision": run.revision,
        "metadata": None if run.metadata is None else dict(run.metadata),
        "result": None if ending is None else result_value(ending.result_json),
        "result_truncated": ending is not None and ending.is_result_truncated,
        "result_omitted": None if ending is None else ending.result_omitted or None,
        "retryable": ending is None or ending.is_retryable,
        "exit_code": None if ending is None else ending.exit_code,
        "signal": None if ending is None else ending.signal,
        "error": None if error is None else _error_view(error),
        "dropped_bytes": 0 if ending is None else ending.dropped_bytes,
        "left_processes": 0 if ending is None else ending.left_processes,
        "left_tasks": 0 if ending is None else ending.left_tasks,
        "retry_of": run.retry_of,
        "retry_at": instant(run.retry_at),
        "pid": None if run.identity is None else run.identity.pid,
    }


def _error_view(error: RunError) -> dict[str, Any]:
    return {"type": error.type, "message": error.message, "traceback": error.traceback}


def result_value(text: str | None) -> Any:
    """Return the result of the handler; the text itself if it was cut and is not JSON any more."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# --- messages ----------------------------------------------------------------------------------


def message_view(message: Message, deliveries: Iterable[Delivery]) -> dict[str, Any]:
    """Return a message, with its delivery on each channel."""
    return {
        "id": message.id,
        "user_id": message.user,
        "at": instant(message.at),
        "title": message.title,
        "parts": [dict(part) for part in message.parts],
        "priority": message.priority,
        "kind": message.kind,
        "job": message.job_name,
        "run_id": message.run_id,
        "deliveries": [delivery_view(each, message.user) for each in deliveries],
    }


def delivery_view(delivery: Delivery, user_id: str) -> dict[str, Any]:
    """Return the delivery of a message to a user on one channel."""
    return {
        "message_id": delivery.message_id,
        "user_id": user_id,
        "channel": delivery.channel,
        "status": delivery.state.value,
        "ok": delivery.state in ARRIVED,
        "error": delivery.error,
        "answer": delivery.answer,
        "degraded": delivery.is_degraded,
        "started_at": instant(delivery.started_at),
        "elapsed_ms": duration_ms(delivery.started_at, delivery.ended_at),
    }


# --- what fires next ---------------------------------------------------------------------------


def fire_view(state: JobStateView, scheduled_for: Instant, fire_at: Instant) -> dict[str, Any]:
    """One line of what fires when. *at* is the fire time, jitter included."""
    return {
        "at": instant(fire_at),
        "scheduled_for": instant(scheduled_for),
        "job": state.job.name,
        "timezone": timezone_of(state.job.schedule),
        "note": fire_note(state),
    }


def fire_note(state: JobStateView) -> str:
    """Return the note beside an occurrence: its user, and unusual states of the job."""
    notes = []
    if isinstance(state.job.schedule, Once):
        notes.append("once")
    if state.job.user is not None:
        notes.append(f"for {state.job.user}")
    if state.status is JobStatus.PAUSED:
        notes.append("paused" if state.job.enabled else "not enabled")
    if state.consecutive_failures:
        notes.append(f"failing ({state.consecutive_failures})")
    if state.stale:
        notes.append("stale")
    return ", ".join(notes)


# --- the daemon --------------------------------------------------------------------------------


def reload_view(result: ReloadResult) -> dict[str, Any]:
    """Return the changes that a reload made, or would make."""
    return {
        "added": list(result.added),
        "replaced": [{"name": name, "changes": list(changes)} for name, changes in result.replaced],
        "removed": list(result.removed),
        "kept": result.kept,
        "problems": problem_list(result.problems),
        "stale": list(result.stale),
    }


def problem_list(problems: Iterable[Any]) -> list[dict[str, Any]]:
    """Problems with the keys of `luad check --format json`."""
    from luad.config.problems import to_json  # noqa: PLC0415 - only the answers with problems pay

    return [to_json(problem) for problem in problems]


def is_over(state: RunState) -> bool:
    """Return whether a run in this state has ended."""
    return state in TERMINAL_STATES


def job_counts(counts: JobCounts) -> dict[str, int]:
    """Return the numbers of jobs by status and health."""
    return {
        "total": counts.total,
        "active": counts.active,
        "paused": counts.paused,
        "failing": counts.failing,
        "stale": counts.stale,
        "completed": counts.completed,
    }
