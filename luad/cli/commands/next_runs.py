"""`luad next`: the next fire times of all jobs.

Rule: it shows times and changes nothing.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import click

from luad.cli.base import Command, pass_session
from luad.cli.complete import job_names
from luad.cli.option_conflicts import Exclusive
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.output import Cell, Table
from luad.cli.terminal.times import (
    parse_rfc3339,
    parse_when,
    rfc3339,
    show_left,
    show_when,
    to_datetime,
)
from luad.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta, tzinfo

    from luad.cli.session import Session
    from luad.client import Client
    from luad.json_text import JsonObject


_FIELDS: Final = ("name", "next_run_at", "timezone", "schedule")


@click.command(
    "next",
    cls=Command,
    rules=[
        Exclusive("--per-job", "--group-by"),
        Exclusive("--group-by", "--json"),
        Exclusive("--offline", "--url"),
        Exclusive("--offline", "--socket"),
    ],
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=job_names)
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, help="How many (10)")
@click.option("--from", "since", metavar="TIME", help="Times from this one on; default: now")
@click.option("--until", metavar="TIME", help="Times up to this one; a time or a duration")
@click.option("-a", "--all", "is_all", is_flag=True, help="Paused jobs as well")
@click.option("--group-by", type=click.Choice(["hour", "job"]), help="One heading per hour or job")
@click.option("--per-job", is_flag=True, help="One line per job: its next time; -n counts jobs")
@click.option("--offline", is_flag=True, help="From the files, not from the daemon")
@pass_session
def next_(
    session: Session,
    *,
    names: tuple[str, ...],
    count: int,
    since: str | None,
    until: str | None,
    is_all: bool,
    group_by: str | None,
    per_job: bool,
    offline: bool,
) -> None:
    """Show the next fire times of all jobs (or of those named) in one list.

    Notes mark changes of the clocks. Without a daemon the times come from the files, with a note on
    stderr.
    """
    start = session.now if since is None else parse_when(since, session.zone, session.now)
    end = None if until is None else parse_when(until, session.zone, session.now)
    query = {"start": start, "end": end, "count": count, "is_all": is_all, "per_job": per_job}
    rows = _fetch(session, names, offline=offline, **query)
    _mark_clock_changes(rows, session.zone)
    if session.json:
        session.out.json({"next": rows})
    elif not rows:
        session.out.info("no job fires" + (" in that time" if until else ""))
    else:
        _show(session, rows, group_by)


def _fetch(
    session: Session, names: Sequence[str], *, offline: bool, **query: Any
) -> list[JsonObject]:
    reason = None
    if not offline:
        try:
            return _from_daemon(session, names, **query)
        except UnavailableError as error:
            if session.url is not None or error.code != "unavailable":
                raise  # the daemon at the URL has other files
            reason = error
    from luad.cli.project.offline import next_from_files

    return next_from_files(session, names, without_daemon=reason, **query)


def _from_daemon(
    session: Session,
    names: Sequence[str],
    *,
    start: int,
    end: int | None,
    count: int,
    is_all: bool,
    per_job: bool,
) -> list[JsonObject]:
    from luad.cli.project.source import job

    client = connect(session)
    chosen = [job(client, name)["name"] for name in names]
    if per_job:
        if start == session.now and end is None and not is_all:
            return _next_of_each(client, chosen)[:count]
        return _one_per_job(client, chosen, start=start, end=end, count=count, is_all=is_all)
    answer = client.get(
        "/schedule",
        **{"from": rfc3339(start), "until": None if end is None else rfc3339(end)},
        limit=count,
        job=chosen or None,
        include_paused=is_all or None,
    )
    if answer.get("is_complete") is False and not session.json:
        session.out.warn(
            "warning: the daemon had no time to check every job; some times may be missing"
        )
    rows: list[JsonObject] = answer["next"]
    return [row for row in rows if not chosen or row["job"] in chosen][:count]


def _next_of_each(client: Client, chosen: Sequence[str]) -> list[JsonObject]:
    """Return the next fire time of each job from the list of jobs."""
    from luad.cli.project.source import all_jobs

    rows = [
        {
            "at": each["next_run_at"],
            "job": each["name"],
            "timezone": each.get("timezone"),
            "note": "once" if (each.get("schedule") or {}).get("type") == "once" else "",
        }
        for each in all_jobs(client, fields=_FIELDS)["jobs"]
        if each.get("next_run_at") and (not chosen or each["name"] in chosen)
    ]
    return sorted(rows, key=lambda row: (row["at"], row["job"]))


def _one_per_job(
    client: Client,
    chosen: Sequence[str],
    *,
    start: int,
    end: int | None,
    count: int,
    is_all: bool,
) -> list[JsonObject]:
    """Return the first occurrence of each job, the earliest job first."""
    from luad.cli.project.source import all_jobs

    rows: list[JsonObject] = []
    for name in chosen or [each["name"] for each in all_jobs(client, fields=("name",))["jobs"]]:
        answer = client.get(
            "/schedule",
            **{"from": rfc3339(start), "until": None if end is None else rfc3339(end)},
            limit=1,
            job=[name],
            include_paused=is_all or None,
        )
        rows += answer["next"][:1]
    return sorted(rows, key=lambda row: (row["at"], row["job"]))[:count]


def _mark_clock_changes(rows: Sequence[JsonObject], zone: tzinfo | None) -> None:
    """Add a note to each row after a clock change in the zone of the job or of the user."""
    seen: dict[str, timedelta | None] = {}
    for row in rows:
        at = parse_rfc3339(row["at"]) or 0
        name = row.get("timezone") or "UTC"
        offsets = {"": to_datetime(at, zone).utcoffset()}
        with suppress(KeyError, ValueError, OSError):  # only the daemon's machine has this zone
            offsets[f"{row['job']} {name}"] = to_datetime(at, ZoneInfo(name)).utcoffset()
        notes = [row["note"]] if row.get("note") else []
        for key, offset in offsets.items():
            before = seen.get(key, offset)
            if offset != before and offset is not None and before is not None:
                hours = (offset - before).total_seconds() / 3600
                text = f"clocks {hours:+g} h"
                where = key.rpartition(" ")[2]
                if not any(note.startswith(text) for note in notes):
                    notes.append(text + (f" in {where}" if where else ""))
            seen[key] = offset
        row["note"] = "; ".join(notes)


def _show(session: Session, rows: Sequence[JsonObject], group_by: str | None) -> None:
    now, zone, out = session.now, session.zone, session.out
    if group_by is None:
        out.table(_table(session, rows))
        return

    def heading(row: JsonObject) -> str:
        if group_by == "job":
            return str(row["job"])
        at = parse_rfc3339(row["at"]) or 0
        return show_when(at - at % 3_600_000, zone, now)

    ordered = sorted(rows, key=heading) if group_by == "job" else rows
    for title, group in groupby(ordered, key=heading):
        out.line(title, "bold")
        out.table(_table(session, list(group)))


def _table(session: Session, rows: Sequence[JsonObject]) -> Table:
    table = Table(
        ["WHEN", "LEFT", "JOB", "NOTE"], flexible=("NOTE", "LEFT", "JOB"), uncut=frozenset({"LEFT"})
    )
    for row in rows:
        at = parse_rfc3339(row["at"]) or 0
        table.rows.append(
            [
                show_when(at, session.zone, session.now),
                show_left(at, session.now),
                Cell(row["job"], "bold"),
                Cell(row["note"], "yellow" if "clocks" in row["note"] else ""),
            ]
        )
    return table
