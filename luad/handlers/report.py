"""Prints a report of the runs of the daemon that runs this handler.

``metadata``:

    period    ``yesterday`` (default), ``today``, ``last_24h``
    timezone  the zone of the days, and of all times in the text (default: UTC)

Days are counted from `scheduled_for` of the run, so a report that runs late after an outage still covers
the day that it was scheduled for. The handler reads the history through the daemon's socket.

Rule: it talks to the daemon through `luad.client` alone, and makes the text from values.
"""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from luad.client import Client
from luad.handlers.parameters import TEXT, Parameters, schema
from luad.sdk.params import params
from luad.wire import format_duration_ms

TYPE_CHECKING = False  # `typing` costs 9 ms, which every run would pay
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from luad.sync import Job

PAGE = 500
MAX_RUNS = 200_000
"""The most runs of a report; a report of more runs says that it is not complete."""

SHOWN = 20
"""The number of listed failures, and of listed jobs that did not run."""

SLOWEST = 5

_PERIODS = ("yesterday", "today", "last_24h")
_BAD = ("failed", "timed_out", "lost")
_NEVER_RAN = ("skipped", "missed")


class Summary:
    """Totals of a list of runs, filled one run at a time, so that a busy day fits in memory."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()  # by state; a row may count several occurrences
        self.failures: list[dict[str, Any]] = []  # the newest `SHOWN`
        self.slowest: list[tuple[int, str, dict[str, Any]]] = []  # a heap of the `SLOWEST` slowest
        self.never_ran: Counter[tuple[str, str, str]] = Counter()  # (job, state, reason)
        self.is_complete = True

    def add(self, run: dict[str, Any]) -> None:
        """Add one row of the history; the newest row comes first."""
        status = run["status"]
        if status in _NEVER_RAN:
            count = run.get("count") or 1
            self.counts[status] += count
            self.never_ran[run["job"], status, run.get("reason") or "no reason"] += count
            return
        self.counts[status] += 1
        if status in _BAD and len(self.failures) < SHOWN:
            self.failures.append(run)
        if run.get("duration_ms"):
            heapq.heappush(self.slowest, (run["duration_ms"], run["id"], run))
            if len(self.slowest) > SLOWEST:
                heapq.heappop(self.slowest)


@params(schema(period={"enum": [*_PERIODS, None]}, timezone=TEXT))
def summary(job: Job) -> dict[str, Any]:
    """Print the report and return ``{"text": ..., "counts": {state: n}, "since", "until"}``.

    Raises `luad.errors.UnavailableError` if the daemon does not answer.
    """
    asked = Parameters(job, "period", "timezone")
    period = asked.choice("period", _PERIODS, "yesterday")
    zone = _zone(asked)
    since, until = bounds(period, zone, job.scheduled_for)
    result = Summary()
    for number, run in enumerate(_runs(since, until)):
        if number >= MAX_RUNS:
            result.is_complete = False
            break
        if run["id"] != job.run_id:
            result.add(run)
    text = render(result, heading(period, zone, since, until), zone)
    sys.stdout.write(text)
    return {
        "text": text,
        "counts": dict(sorted(result.counts.items())),
        "since": since.isoformat(),
        "until": until.isoformat(),
    }


def bounds(period: str, zone: ZoneInfo, at: datetime) -> tuple[datetime, datetime]:
    """Return first and last (exclusive) instant of *period*, in UTC, relative to *at*.

    A day has 23 or 25 hours where the clocks of *zone* change.
    """
    if period == "last_24h":
        return at - timedelta(hours=24), at
    today = at.astimezone(zone).date()
    midnight = datetime.combine(today, time(), zone).astimezone(UTC)
    if period == "today":
        return midnight, at
    return datetime.combine(today - timedelta(days=1), time(), zone).astimezone(UTC), midnight


def heading(period: str, zone: ZoneInfo, since: datetime, until: datetime) -> str:
    """Return the first line of the report, with its period."""
    if period == "last_24h":
        first, last = (f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (since, until))
        return f"luad report: {first} to {last} ({zone.key})"
    suffix = f", until {until.astimezone(zone):%H:%M}" if period == "today" else ""
    return f"luad report: {since.astimezone(zone):%a %Y-%m-%d}{suffix} ({zone.key})"


def render(result: Summary, first_line: str, zone: ZoneInfo) -> str:
    """Return the report as text, ending with a newline."""
    sections = [[first_line, "", *_totals(result)]]
    if result.failures:
        count = sum(result.counts[state] for state in _BAD)
        sections.append(
            [
                _title("Failed", len(result.failures), count),
                *_table(_failure_row(run, zone) for run in result.failures),
            ]
        )
    if result.never_ran:
        rows = result.never_ran.most_common(SHOWN)
        sections.append(
            [
                _title("Did not run", len(rows), len(result.never_ran)),
                *_table((name, f"{n} {state}", reason) for (name, state, reason), n in rows),
            ]
        )
    if result.slowest:
        slowest = sorted(result.slowest, reverse=True)
        sections.append(
            [
                "Slowest",
                *_table(
                    (format_duration_ms(ms), run["job"], _clock(run, zone))
                    for ms, _, run in slowest
                ),
            ]
        )
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _totals(result: Summary) -> list[str]:
    ran = {key: n for key, n in result.counts.items() if key not in _NEVER_RAN}
    not_ran = {key: n for key, n in result.counts.items() if key in _NEVER_RAN}
    lines = [f"{_many(sum(ran.values()), 'run')}{_listed(ran)}"]
    if not_ran:
        lines.append(f"{_many(sum(not_ran.values()), 'occurrence')} did not run{_listed(not_ran)}")
    if not result.is_complete:
        lines.append(f"There were more; only the newest {MAX_RUNS:,} rows are counted.")
    return lines


def _listed(counts: dict[str, int]) -> str:
    """Return ``: 5 succeeded, 1 timed out``, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{n:,} {state.replace('_', ' ')}" for state, n in ranked)
    return f": {text}" if text else ""


def _many(count: int, noun: str) -> str:
    if not count:
        return f"No {noun}s"
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _title(text: str, shown: int, count: int) -> str:
    return text if shown >= count else f"{text} (the newest {shown} of {count:,})"


def _failure_row(run: dict[str, Any], zone: ZoneInfo) -> tuple[str, ...]:
    error = run.get("error") or {}
    what = f"{error.get('type', '')}: {error.get('message', '')}".strip(": ") or _ending(run)
    line = " ".join(what.split())
    line = line if len(line) <= 160 else line[:159] + "…"
    return _clock(run, zone), run["job"], run["status"].replace("_", " "), line, run["id"]


def _ending(run: dict[str, object]) -> str:
    if run.get("signal"):
        return f"signal {run['signal']}"
    if run.get("exit_code") is not None:
        return f"exit code {run['exit_code']}"
    return "no error was recorded"


def _clock(run: dict[str, Any], zone: ZoneInfo) -> str:
    at = run.get("scheduled_for") or run["claimed_at"]
    return f"{datetime.fromisoformat(at).astimezone(zone):%H:%M:%S}"


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows of aligned columns, two spaces apart; the last column is not padded."""
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  "
        + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _runs(since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """Yield every row claimed in [*since*, *until*), the newest first, fetched in pages."""
    client = Client()
    cursor = None
    while True:
        page = client.get(
            "/runs", since=_rfc3339(since), until=_rfc3339(until), limit=PAGE, cursor=cursor
        )
        yield from page["runs"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _zone(asked: Parameters) -> ZoneInfo:
    name = asked.text("timezone", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        asked.refuse(
            "timezone", f"{name!r} is not a time zone; write one like Europe/Berlin", error
        )
