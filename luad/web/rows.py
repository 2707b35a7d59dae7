"""How a job and a run are shown in a row: icon, word, tone, and one line of what happened.

Rule: pure; JSON of the API in, values for templates out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from luad.web.drawing import BAD, LOW, OPEN, usual, usual_text
from luad.web.times import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from luad.web.inside import Json
    from luad.web.times import Times


SLOW_FACTOR: Final = 2
LEAST_SLOW_MS: Final = 60_000
_LAST_RUN: Final = re.compile(r", the last in run_\w+$")


@dataclass(frozen=True, slots=True)
class Status:
    """A status: *tone* is a class of the style sheet; *is_bad* marks the row."""

    icon: str
    word: str
    tone: str
    is_bad: bool = False


_RUNS: Final[Mapping[str, Status]] = {
    "succeeded": Status("ok", "OK", "calm"),
    "failed": Status("failed", "Failed", "bad", is_bad=True),
    "timed_out": Status("failed", "Timed out", "bad", is_bad=True),
    "lost": Status("failed", "Lost", "bad", is_bad=True),
    "cancelled": Status("x", "Cancelled", "off"),
    "skipped": Status("skipped", "Skipped", "skip"),
    "missed": Status("skipped", "Missed", "skip"),
    "running": Status("running", "Running", "run"),
    "retrying": Status("running", "Retrying", "run"),
    "queued": Status("waiting", "Queued", "off"),
}
_TRIGGERS: Final[Mapping[str, str]] = {
    "schedule": "by schedule",
    "catchup": "catch-up",
    "manual": "by hand",
    "api": "by the API",
    "retry": "retry",
    "resume": "resume",
}


def status_of_run(status: str) -> Status:
    """Return how the status of a run is shown."""
    return _RUNS.get(status) or Status("waiting", status, "off")


def trigger_words(trigger: str) -> str:
    """Return why a run exists."""
    return _TRIGGERS.get(trigger, trigger)


def status_of_job(job: Json, now: datetime) -> Status:
    """Return how a job is shown: failing weighs most, then what it does now."""
    if job["health"] == "failing":
        return Status("failed", "Failing", "bad", is_bad=True)
    if job["running"]:
        is_slow = _is_slow(job["last_run"], job["recent_runs"], now)
        return Status("slow", "Slow", "skip") if is_slow else Status("running", "Running", "run")
    if job["status"] == "paused":
        return Status("paused", "Paused", "off")
    if job["status"] == "completed":
        return Status("ok", "Completed", "off")
    if job["health"] == "stale":
        return Status("warn", "Stale", "skip")
    if job["health"] == "never_run":
        return Status("never", "Never ran", "off")
    return Status("ok", "OK", "calm")


def _is_slow(last: Json, runs: Sequence[Json], now: datetime) -> bool:
    """Return whether the open run takes far longer than the others, as `GET /v1/attention` means it."""
    if not last or last["completed_at"] or not last["started_at"]:
        return False
    band = usual([each["duration_ms"] for each in runs if each["status"] == "succeeded"])
    if band is None:
        return False
    limit_ms = max(SLOW_FACTOR * band[1], LEAST_SLOW_MS)
    return (now - parse(last["started_at"])).total_seconds() * 1_000 > limit_ms


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as a row of a table."""

    name: str
    status: Status
    schedule: str
    tags: Sequence[str]
    runs: Sequence[Json]
    usual: str
    last_at: str | None
    next_at: str | None
    note: str
    is_paused: bool


def job_row(job: Json, times: Times) -> JobRow:
    """Return the row of a job of `GET /v1/jobs`."""
    last = job["last_run"]
    runs = job["recent_runs"]
    ended = [run["duration_ms"] for run in runs if run["status"] == "succeeded"]
    return JobRow(
        job["name"],
        status_of_job(job, times.now),
        job["schedule_text"],
        job["tags"],
        runs,
        usual_text(usual([each for each in ended if each is not None])) or "–",
        last and (last["completed_at"] or last["started_at"]),
        job["next_run_at"],
        pause_words(job["pause"], times),
        job["status"] == "paused",
    )


def pause_words(pause: Json, times: Times) -> str:
    """Return who paused a job, why and until when; empty when it is not paused."""
    if not pause:
        return ""
    reason = without_run(pause["reason"] or "")
    parts = [f"“{reason}”" if reason else "", pause["author"] or ""]
    if pause["until"]:
        parts.append(f"until {times.short(pause['until'])}")
    return ", ".join(filter(None, parts)) or "paused"


def without_run(text: str) -> str:
    """Return the reason of a pause by luad without the id of the run, to which a page has a link."""
    return _LAST_RUN.sub("", text)


def what_happened(run: Json) -> str:
    """Return one line about a run: its error, the reason of a skip, or its result."""
    if run["error"]:
        message = run["error"]["message"].splitlines()
        name = run["error"]["type"].rpartition(".")[2]
        return f"{name}: {message[0] if message else ''}"
    if run["reason"]:
        many = f", {run['count']:,} times" if run["count"] > 1 else ""
        return f"{run['reason']}{many}"
    result = run["result"]
    if result is None or result == "":
        return ""
    text = str(result).splitlines()[0] if str(result) else ""
    return text[:200]


def outcome_counts(runs: Sequence[Json]) -> Mapping[str, int]:
    """Return how many of *runs* were good, bad, left out or are open."""
    counts = {"ok": 0, "bad": 0, "low": 0, "open": 0}
    for run in runs:
        status = run["status"]
        kind = (
            "bad" if status in BAD
            else "low" if status in LOW
            else "open" if status in OPEN
            else "ok"
        )  # fmt: skip
        counts[kind] += 1
    return counts
