"""The texts, glyphs and strips of jobs and runs.

Rule: it turns values of the daemon's JSON into text; it sends no request.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from luad.cli.terminal.output import Cell
from luad.cli.terminal.times import parse_rfc3339, show_left, show_took, to_datetime
from luad.core.model import DAY, MINUTE, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

    from luad.core.model import Instant
    from luad.json_text import JsonObject

BARS: Final = "▁▂▃▄▅▆▇█"
BAR_STEPS: Final = (2, 10, 60, 90, 600, 1800, 7200)
"""The seconds from which a run gets the next higher bar, the same for every job.

So users can compare the bars of different jobs."""

GLYPHS: Final = {
    "ok": ("✓", "green"),
    "failing": ("✗", "red"),
    "stale": ("!", "yellow"),
    "paused": ("‖", "yellow"),
    "running": ("▶", "cyan"),
    "completed": ("✓", "dim"),
    "deleted": ("·", "dim"),
    "never_run": ("·", "dim"),
    "missed": ("·", "yellow"),
    "skipped": ("·", "yellow"),
    "cancelled": ("✗", "yellow"),
}
RUN_GLYPHS: Final = {
    "queued": ("·", "cyan"),
    "running": ("▶", "cyan"),
    "retrying": ("▶", "yellow"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "timed_out": ("✗", "red"),
    "cancelled": ("✗", "yellow"),
    "lost": ("✗", "red"),
    "skipped": ("·", "dim"),
    "missed": ("·", "yellow"),
}
OPEN: Final = frozenset({"queued", "running", "retrying"})
BAD: Final = frozenset({"failed", "timed_out", "lost"})
STATES: Final = tuple(RUN_GLYPHS)
_HALF_A_YEAR: Final = 182 * DAY


def condition(job: JsonObject) -> str:
    """Return the most important condition of *job*; a key of GLYPHS."""
    if job.get("gone_at"):
        return str(job.get("status"))
    if job.get("status") == "paused":
        return "paused"
    if job.get("health") == "failing":
        return "failing"
    if is_stale(job):
        return "stale"
    if job.get("running"):
        return "running"
    if job.get("status") == "completed":
        return _end_of(job)
    health = str(job.get("health") or "never_run")
    return health if health in GLYPHS else "ok"


def _end_of(job: JsonObject) -> str:
    """Return how a completed job has ended; `completed` only if it has run."""
    end = job.get("last_run") or _never_ran(job) or {}
    state = str(end.get("status"))
    return state if state in {"missed", "skipped", "cancelled"} else "completed"


def _never_ran(job: JsonObject) -> JsonObject | None:
    """Return the row with the reason why a completed *job* has never run, or None."""
    recent = job.get("recent_runs") or ()
    if job.get("status") != "completed" or job.get("last_run") or not recent:
        return None
    newest: JsonObject = recent[-1]
    return newest if newest.get("status") in {"missed", "skipped"} else None


def condition_text(job: JsonObject) -> str:
    """Return the condition of *job*, with the reason if it has never run, such as `missed (past)`."""
    never = _never_ran(job)
    word = condition(job)
    if never is not None and never.get("status") == word:
        return state_text(never)
    return word.replace("_", " ")


def is_stale(job: JsonObject) -> bool:
    """Return True if the file of *job* is broken and its last good version is installed."""
    return bool((job.get("file") or {}).get("stale")) or job.get("health") == "stale"


def has_condition(job: JsonObject, wanted: Iterable[str]) -> bool:
    """Return True if *job* has one of the *wanted* statuses, healths or conditions."""
    true_words = {condition(job), str(job.get("status")), str(job.get("health"))}
    true_words.update({"running"} if job.get("running") else ())
    true_words.update({"stale"} if is_stale(job) else ())
    return not true_words.isdisjoint(wanted)


def strip(runs: Sequence[JsonObject], length: int) -> str:
    """Return the strip of the last *length* runs, oldest first; a longer run has a higher bar."""
    if length <= 0:
        return ""
    return "".join([_bar(run.get("status"), run.get("duration_ms")) for run in runs[-length:]])


@lru_cache(maxsize=4_096)
def _bar(state: str | None, duration_ms: int | None) -> str:
    if state in BAD:
        return "✗"
    if state in {"skipped", "missed", "cancelled"}:
        return "·"
    if state in OPEN:
        return "▶"
    return BARS[bisect_right(BAR_STEPS, (duration_ms or 0) / SECOND)]


def last_run_text(job: JsonObject, now: Instant) -> tuple[str, str]:
    """Return when the last run of *job* was, and how long it took so far."""
    last = job.get("last_run")
    if not last:
        never = _never_ran(job)
        return "never" if never is None else state_text(never), ""
    started = parse_rfc3339(last.get("started_at"))
    if last.get("status") in OPEN or last.get("completed_at") is None:
        so_far = "" if started is None else show_took(max(0, now - started))
        return str(last.get("status")).replace("_", " "), so_far
    when = show_left(parse_rfc3339(last["completed_at"]) or now, now)
    bad = "" if last.get("status") == "succeeded" else f"{state_text(last)} "
    return bad + when, show_took(last.get("duration_ms"))


def next_run_text(job: JsonObject, now: Instant, zone: tzinfo | None) -> str:
    """Return when *job* fires next, or the reason why it does not."""
    pause = job.get("pause")
    if pause or job.get("status") == "paused":
        return pause_text(pause or {}, now, zone)
    if job.get("status") == "completed":
        return _end_of(job)
    if job.get("enabled") is False:
        return "disabled"
    at = parse_rfc3339(job.get("next_run_at"))
    return "-" if at is None else show_left(at, now)


def pause_text(pause: JsonObject, now: Instant, zone: tzinfo | None) -> str:
    """Return the reason, the author and the end of a pause, such as `paused (ann) until 17:00:00`."""
    text = "paused"
    if pause.get("reason"):
        text += f': "{pause["reason"]}"'
    if pause.get("author"):
        text += f" ({pause['author']})"
    until = parse_rfc3339(pause.get("until"))
    return text if until is None else f"{text} until {short_when(until, zone, now)}"


def schedule_text_of(
    job: JsonObject, now: Instant, zone: tzinfo | None, *, has_zone: bool = False
) -> str:
    """Return the schedule in words, with its zone if that differs from *zone*.

    *has_zone* adds the zone in any case.
    """
    text = str(job.get("schedule_text") or "")
    name = job.get("timezone") or (job.get("schedule") or {}).get("timezone")
    if name and name not in text and (job.get("schedule") or {}).get("type") == "cron":
        is_other = not text.startswith("every") and _is_other_zone(name, zone, now)
        if has_zone or is_other:
            text += f"  {name}"
    if job.get("timeout_seconds", 0) is None:
        text += "  (no timeout)"
    return text + "  (stale)" if is_stale(job) else text


@lru_cache(maxsize=256)
def _is_other_zone(name: str, zone: tzinfo | None, now: Instant) -> bool:
    """Return True if the zone *name* has another name than *zone*, even if the clocks agree today.

    The machine's zone has no name: it is another one if its clocks or abbreviations differ in this season or
    in half a year.
    """
    from zoneinfo import ZoneInfo

    if (key := getattr(zone, "key", None)) is not None:
        return bool(name != key)
    try:
        other = ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # only the daemon's machine has this zone
        return True
    pairs = [(to_datetime(at, other), to_datetime(at, zone)) for at in (now, now + _HALF_A_YEAR)]
    return any(
        (theirs.tzname(), theirs.utcoffset()) != (ours.tzname(), ours.utcoffset())
        for theirs, ours in pairs
    )


def short_when(instant: Instant, zone: tzinfo | None, now: Instant) -> str:
    """Return *instant* for a narrow column: the time today, else with the day."""
    moment, today = to_datetime(instant, zone), to_datetime(now, zone)
    if moment.date() == today.date():
        return f"{moment:%H:%M:%S}"
    if moment.year == today.year:
        return f"{moment.day} {moment:%b %H:%M}"
    return f"{moment.day} {moment:%b} {moment.year}"


def state_text(run: JsonObject) -> str:
    """Return the state of *run* for users: `timed out`, `skipped (overlap) x12`."""
    text = str(run.get("status")).replace("_", " ")
    if run.get("status") in {"skipped", "missed", "cancelled"} and run.get("reason"):
        text += f" ({run['reason']})"
    if (run.get("count") or 1) > 1:
        text += f" x{run['count']}{'+' if run.get('count_is_capped') else ''}"
    return text


def state_cell(run: JsonObject) -> Cell:
    """Return the state of *run* with its glyph."""
    glyph, style = RUN_GLYPHS.get(str(run.get("status")), ("·", ""))
    return Cell(f"{glyph} {state_text(run)}", style)


def error_text(run: JsonObject) -> str:
    """Return the error of *run* in one line; empty without an error."""
    if error := run.get("error"):
        message = str(error.get("message") or "").strip().split("\n")[0]
        return f"{error.get('type')}: {message}" if error.get("type") else message
    if run.get("signal"):
        return f"ended by signal {run['signal']}"
    if run.get("status") in BAD and run.get("exit_code"):
        return f"exit code {run['exit_code']}"
    return ""


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 job`, `12 jobs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def start_delay(run: JsonObject) -> str:
    """Return how late *run* started, as `+0.04 s`; empty if it never started."""
    delay = run.get("start_delay_ms")
    if delay is None:
        return ""
    return f"+{delay / SECOND:.2f} s" if delay < MINUTE else f"+{show_took(delay)}"
