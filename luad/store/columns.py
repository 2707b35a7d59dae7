"""Converts luad's values to columns of rows, and back.

Rule: each value of a handler or a user can be stored. Numbers beyond 64 bits are clamped, lone surrogates
and NULs are written as escapes, NaN and infinities become null. No function here fails because of the data, or
one run could stop all others from being stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Row

from luad.config.jobs.compact_jobs import LazyObject
from luad.core.events import RecordSkip
from luad.core.model import (
    JSON,
    Ending,
    EndKind,
    ProcessIdentity,
    Reason,
    Run,
    RunError,
    RunState,
    Skip,
    Trigger,
)
from luad.store.prepared import Value, Values
from luad.store.query_types import RunFilter, RunRow

_MOST: Final = 2**63 - 1
_LEAST: Final = -(2**63)

GUARDED: Final = frozenset({Trigger.SCHEDULE, Trigger.CATCHUP})
"""The triggers of which an occurrence has at most one run."""


# --- single values -----------------------------------------------------------------------------


def to_int(number: int) -> int:
    """Return *number*, clamped to the range of a 64-bit column."""
    return number if _LEAST <= number <= _MOST else (_MOST if number > 0 else _LEAST)


def to_int_or_none(number: int | None) -> int | None:
    """Return *number* as `to_int` does; None stays None."""
    return None if number is None else to_int(number)


def to_text(text: str) -> str:
    r"""Return *text* with NULs and lone surrogates written as ``\x00`` and ``\udc80``."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cleaned(wanted: RunFilter) -> RunFilter:
    """Return *wanted* with values that the database accepts as parameters."""
    return replace(
        wanted,
        job=to_text_or_none(wanted.job),
        job_id=to_text_or_none(wanted.job_id),
        since=to_int_or_none(wanted.since),
        until=to_int_or_none(wanted.until),
        user=to_text_or_none(wanted.user),
        q=to_text_or_none(wanted.q),
        tags=frozenset(map(to_text, wanted.tags)),
        not_jobs=frozenset(map(to_text, wanted.not_jobs)),
        not_tags=frozenset(map(to_text, wanted.not_tags)),
        min_duration_ms=to_int_or_none(wanted.min_duration_ms),
    )


def to_text_or_none(text: str | None) -> str | None:
    """Return *text* as `to_text` does; None stays None."""
    return None if text is None else to_text(text)


def to_json(value: JSON) -> str:
    """Return *value* as one line of strict JSON, ASCII only.

    Raises TypeError for a value that is not JSON, which is a fault of luad, not of the data.
    """
    if isinstance(value, LazyObject) and (text := value.strict_text()) is not None:
        return text
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError:
        return json.dumps(_finite(value), separators=(",", ":"), default=_plain)


def _plain(value: object) -> JSON:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _finite(value: JSON) -> JSON:
    """Return *value* with null instead of NaN and infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


# --- runs --------------------------------------------------------------------------------------
#
# A row leaves out the columns without a value, and those whose value is what `read_run` takes NULL for.

CHANGING: Final = (
    "revision",
    "state",
    "attempt",
    "started_at",
    "retry_at",
    "pid",
    "start_ticks",
    "boot_id",
    "ended_at",
    "reason",
    "end_kind",
    "end_at",
    "exit_code",
    "signal",
    "dropped_bytes",
    "error_type",
    "error_message",
    "error_traceback",
    "result_json",
    "is_result_truncated",
    "result_omitted",
    "is_retryable",
    "left_processes",
    "left_tasks",
)
"""The columns of `runs` that change in the life of a run."""


def claim_row(run: Run) -> dict[str, Value]:
    """Return the row of a run that has just been claimed."""
    scheduled_for = to_int(run.scheduled_for)
    row: dict[str, Value] = {
        "id": to_text(run.id),
        "job_name": to_text(run.job_name),
        "job_id": to_text(run.job_id),
        "trigger": str(run.trigger),
        "scheduled_for": scheduled_for,
        "fire_at": to_int(run.fire_at),
        "claimed_at": to_int(run.claimed_at),
        "missed_count": to_int(run.missed_count),
    }
    if run.trigger in GUARDED:
        row["occurrence"] = scheduled_for
    if run.user is not None:
        row["user_id"] = to_text(run.user)
    if run.metadata is not None:
        row["metadata_json"] = to_json(run.metadata)
    if run.is_remote:
        row["is_remote"] = True
    if run.retry_of is not None:
        row["retry_of"] = to_text(run.retry_of)
    if run.is_pinned:
        row["is_pinned"] = True
    _add_changing(row, run)
    return row


def save_row(run: Run) -> Values:
    """Return the columns of `runs` that change in a run's life; `b_id` and `b_attempt` name the row."""
    row: dict[str, Value] = {}
    _add_changing(row, run)
    row["b_id"] = to_text(run.id)
    row["b_attempt"] = row["attempt"]
    return row


def process_row(run: Run) -> Values:
    """Return the columns about the process of an attempt; `b_id` and `b_attempt` name the row."""
    identity, started_at = run.identity, run.started_at
    assert identity is not None, "a start is saved with its process"
    assert started_at is not None, "a start is saved with its instant"
    return {
        "started_at": to_int(started_at),
        "pid": to_int(identity.pid),
        "start_ticks": to_int(identity.start_ticks),
        "boot_id": to_text(identity.boot_id),
        "b_id": to_text(run.id),
        "b_attempt": to_int(run.attempt),
    }


def _add_changing(row: dict[str, Value], run: Run) -> None:
    row["revision"] = to_text(run.revision)
    row["state"] = str(run.state)
    row["attempt"] = to_int(run.attempt)
    if run.started_at is not None:
        row["started_at"] = to_int(run.started_at)
    if run.retry_at is not None:
        row["retry_at"] = to_int(run.retry_at)
    if run.identity is not None:
        row["pid"] = to_int(run.identity.pid)
        row["start_ticks"] = to_int(run.identity.start_ticks)
        row["boot_id"] = to_text(run.identity.boot_id)
    if run.ended_at is not None:
        row["ended_at"] = to_int(run.ended_at)
    if run.reason is not None:
        row["reason"] = str(run.reason)
    if run.ending is not None:
        _add_ending(row, run.ending)


def _add_ending(row: dict[str, Value], ending: Ending) -> None:
    row["end_kind"] = str(ending.kind)
    row["end_at"] = to_int(ending.at)
    if ending.exit_code is not None:
        row["exit_code"] = to_int(ending.exit_code)
    if ending.signal is not None:
        row["signal"] = to_int(ending.signal)
    if ending.dropped_bytes:
        row["dropped_bytes"] = to_int(ending.dropped_bytes)
    if ending.error is not None:
        row["error_type"] = to_text(ending.error.type)
        row["error_message"] = to_text(ending.error.message)
        row["error_traceback"] = to_text(ending.error.traceback)
    if ending.result_json is not None:
        row["result_json"] = to_text(ending.result_json)
    _add_remarks(row, ending)


def _add_remarks(row: dict[str, Value], ending: Ending) -> None:
    if ending.is_result_truncated:
        row["is_result_truncated"] = True
    if ending.result_omitted:
        row["result_omitted"] = to_text(ending.result_omitted)
    if not ending.is_retryable:
        row["is_retryable"] = False
    if ending.left_processes:
        row["left_processes"] = to_int(ending.left_processes)
    if ending.left_tasks:
        row["left_tasks"] = to_int(ending.left_tasks)


def skip_row(record: RecordSkip) -> dict[str, Value]:
    """Return the row of occurrences that never became a run; its instant is the last of them."""
    at = to_int(record.at)
    last = to_int(record.skip.last)
    row: dict[str, Value] = {
        "id": to_text(record.row_id),
        "job_name": to_text(record.job_name),
        "job_id": to_text(record.job_id),
        "revision": to_text(record.revision),
        "trigger": str(Trigger.SCHEDULE),
        "scheduled_for": last,
        "occurrence": last,
        "fire_at": last,
        "claimed_at": at,
        "ended_at": at,
        "state": str(record.skip.state),
        "reason": str(record.skip.reason),
        "attempt": 1,
        "missed_count": 0,
        "skip_first": to_int(record.skip.first),
        "skip_count": to_int(record.skip.count),
    }
    if record.skip.is_count_capped:
        row["is_skip_count_capped"] = True
    return row


def extend_row(row_id: str, skip: Skip) -> Values:
    """Return the columns of a skipped row that change; `b_id` names the row."""
    last = to_int(skip.last)
    return {
        "b_id": to_text(row_id),
        "b_last": last,
        "scheduled_for": last,
        "occurrence": last,
        "fire_at": last,
        "skip_first": to_int(skip.first),
        "skip_count": to_int(skip.count),
        "is_skip_count_capped": skip.is_count_capped,
    }


def read_run(row: Row[Any]) -> RunRow:
    """Return the run of a row of `runs`. Raises ValueError for an invalid row."""
    identity = None
    if row.pid is not None and row.boot_id is not None and row.start_ticks is not None:
        identity = ProcessIdentity(row.pid, row.start_ticks, row.boot_id)
    run = Run(
        id=row.id,
        job_name=row.job_name,
        job_id=row.job_id,
        revision=row.revision,
        trigger=Trigger(row.trigger),
        scheduled_for=row.scheduled_for,
        fire_at=row.fire_at,
        claimed_at=row.claimed_at,
        state=RunState(row.state),
        attempt=row.attempt,
        missed_count=row.missed_count,
        metadata=None if row.metadata_json is None else json.loads(row.metadata_json),
        is_remote=bool(row.is_remote),
        started_at=row.started_at,
        retry_at=row.retry_at,
        identity=identity,
        ended_at=row.ended_at,
        reason=None if row.reason is None else Reason(row.reason),
        ending=_read_ending(row),
        retry_of=row.retry_of,
        user=row.user_id,
        is_pinned=bool(row.is_pinned),
    )
    if row.skip_count is None:
        return RunRow(run)
    return RunRow(run, row.skip_first, row.skip_count, bool(row.is_skip_count_capped))


def _read_ending(row: Row[Any]) -> Ending | None:
    if row.end_kind is None:
        return None
    return Ending(
        kind=EndKind(row.end_kind),
        at=row.end_at,
        exit_code=row.exit_code,
        signal=row.signal,
        error=read_error(row),
        result_json=row.result_json,
        is_result_truncated=bool(row.is_result_truncated),
        result_omitted=row.result_omitted or "",
        is_retryable=row.is_retryable is None or bool(row.is_retryable),
        dropped_bytes=row.dropped_bytes or 0,
        left_processes=row.left_processes or 0,
        left_tasks=row.left_tasks or 0,
    )


def read_error(row: Row[Any]) -> RunError | None:
    """Return the error in a row of `runs` or `attempts`."""
    if row.error_type is None:
        return None
    return RunError(row.error_type, row.error_message or "", row.error_traceback or "")
