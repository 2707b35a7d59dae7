"""`luad explain`: a schedule in words, with its next times.

Rule: it needs neither job files nor a daemon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.session import named_zone
from luad.cli.terminal.failure import CommandError
from luad.cli.terminal.times import parse_duration, parse_when, show_exact, show_when
from luad.core.model import SECOND, Cron, Instant, Interval, Once, Schedule

if TYPE_CHECKING:
    from datetime import tzinfo

    from luad.cli.session import Session

EVERY: Final = "every "


@dataclass(frozen=True, slots=True)
class Explained:
    """The explanation of an expression: a summary, its next times, fields and notes."""

    expression: str
    zone_name: str
    summary: str
    times: list[Instant]
    fields: list[tuple[str, str, str]]
    notes: list[str]


@click.command(
    "explain",
    cls=Command,
    epilog="EXPR is a cron line, @daily and the like, `every 15m`, or a time. Its zone is --tz, "
    "else that of luad.yaml, else UTC.",
)
@click.argument("words", nargs=-1, required=True, metavar="EXPR")
@click.option("--from", "since", metavar="TIME", help="Times after this one; default: now")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=5, help="How many (5)")
@pass_session
def explain(session: Session, *, words: tuple[str, ...], since: str | None, count: int) -> None:
    """Explain a cron expression in words, with its next times."""
    name = "UTC" if session.utc else session.tz or _default_zone(session)
    zone = named_zone(name)
    start = session.now if since is None else parse_when(since, zone, session.now)
    found = explained(" ".join(words).strip(), name, zone, start, count)
    if session.json:
        _write_json(session, found, zone)
    else:
        _write_text(session, found, zone)


def _default_zone(session: Session) -> str:
    from luad.cli.project.folders import default_timezone

    return default_timezone(session)


def explained(expression: str, name: str, zone: tzinfo, start: Instant, count: int) -> Explained:
    """Return the explanation of *expression* in *zone*, with *count* times after *start*.

    Raises `CommandError` (schedule), with a caret below the place, if the expression is not valid.
    """
    from luad.core.schedule import explain_schedule, next_occurrence

    schedule = _read(expression, name, zone, start)
    fields, notes = _details(schedule)
    times: list[Instant] = []
    at = next_occurrence(schedule, start, start)
    while at is not None and len(times) < count:
        times.append(at)
        at = next_occurrence(schedule, start, at)
    if isinstance(schedule, Once) and not times:
        notes.append("this time is in the past")
    elif isinstance(schedule, Interval):
        notes.append("the times count from now (or --from); a job counts from its `start_at`")
    return Explained(expression, name, explain_schedule(schedule), times, fields, notes)


def _read(expression: str, name: str, zone: tzinfo, start: Instant) -> Schedule:
    from luad.core.cron.cronline import foreign_hint
    from luad.core.cron.search import CronError, compile_cron

    if expression.startswith(EVERY) and expression != EVERY:
        try:
            length = parse_duration(expression.removeprefix(EVERY).strip())
        except CommandError:
            if foreign_hint(expression) is None:
                raise
        else:
            if length <= 0:
                raise CommandError("an interval must be longer than 0 s", code="schedule")
            return Interval(length)
    if expression[:4].isdigit() and expression[4:5] == "-":
        return Once(parse_when(expression, zone, start), name)
    try:
        compile_cron(expression)
    except CronError as error:
        note = f" {error.note}" if error.note else ""
        caret = " " * error.start + "^" * max(1, error.end - error.start) + note
        raise CommandError(
            error.message, code="schedule", hint=error.help, body=[expression, caret]
        ) from error
    return Cron(expression, name)


def _details(schedule: Schedule) -> tuple[list[tuple[str, str, str]], list[str]]:
    if not isinstance(schedule, Cron):
        return [], []
    from luad.core.cron.search import explain_fields, notes

    return explain_fields(schedule.expression), notes(schedule.expression)


def _write_json(session: Session, found: Explained, zone: tzinfo) -> None:
    from luad.wire import format_in_zone, format_instant

    answer: dict[str, object] = {
        "expression": found.expression,
        "timezone": found.zone_name,
        "summary": found.summary,
        "next": [format_in_zone(at, zone) for at in found.times],
        "upcoming": [
            {
                "at": format_in_zone(at, zone),
                "utc": format_instant(at),
                "in_seconds": (at - session.now) / SECOND,
            }
            for at in found.times
        ],
        "fields": [
            {"field": field, "value": text, "meaning": words} for field, text, words in found.fields
        ],
        "notes": found.notes,
    }
    session.out.json(answer)


def _write_text(session: Session, found: Explained, zone: tzinfo) -> None:
    out = session.out
    out.line(f"{out.paint(found.expression, 'bold')}    {found.summary}")
    written = [row for row in found.fields if not row[2].startswith("every ")]
    width = max((len(text) for _, text, _ in written), default=0)
    for field, text, words in written:
        out.line(f"  {field:<13} {text:<{width}}  {words}", "dim")
    for note in found.notes:
        out.line(f"note: {note}")
    before = None
    shown = [show_when(at, zone, session.now) for at in found.times]
    is_foreign = found.zone_name not in {"UTC", "Etc/UTC"}
    width = max(map(len, shown), default=0)
    for number, (at, when) in enumerate(zip(found.times, shown, strict=True)):
        lead = "next: " if number == 0 else "      "
        utc = f"   {_utc(at, zone)}" if is_foreign else ""
        left = at - session.now
        away = f"   in {show_exact(left)}" if left > 0 else f"   {show_exact(-left)} ago"
        offset = _offset(at, zone)
        change = "" if before in {None, offset} else f"   clocks {offset - (before or 0):+g} h"
        out.line(f"{lead}{when:<{width}}{utc}{away}{change}")
        before = offset
    if not found.times:
        out.line("next: never")


def _utc(at: Instant, zone: tzinfo) -> str:
    """Return the instant in UTC, with the day if it differs from that in *zone*."""
    from luad.cli.terminal.times import UTC, to_datetime

    here, there = to_datetime(at, zone), to_datetime(at, UTC)
    day = "" if here.date() == there.date() else f"{there:%a} {there.day} {there:%b} "
    seconds = f":{there:%S}" if there.second else ""
    return f"{day}{there:%H:%M}{seconds} UTC"


def _offset(at: Instant, zone: tzinfo) -> float:
    from luad.cli.terminal.times import to_datetime

    offset = to_datetime(at, zone).utcoffset()
    return offset.total_seconds() / 3600 if offset is not None else 0
