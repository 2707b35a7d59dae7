"""`luad list`: one line for each job.

Rule: it shows jobs and changes nothing.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any, Final

import click

from luad.cli.base import Command, pass_session, words
from luad.cli.complete import user_ids
from luad.cli.option_conflicts import Exclusive
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError
from luad.cli.terminal.labels import (
    GLYPHS,
    condition,
    has_condition,
    is_stale,
    last_run_text,
    next_run_text,
    plural,
    schedule_text_of,
    strip,
)
from luad.cli.terminal.output import Cell, Table
from luad.cli.terminal.times import parse_rfc3339, zone_name
from luad.clock import wall_ms
from luad.errors import UnavailableError
from luad.suggestions import close_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from luad.cli.session import Session
    from luad.json_text import JsonObject

CONDITIONS: Final = (*GLYPHS, "active")
IN_FILES: Final = frozenset({"active", "completed", "never_run", "stale"})
"""The conditions that the files alone can tell."""

REFRESH_SECONDS: Final = 2.0
MAX_WARNINGS: Final = 5
MAX_TAGS: Final = 10
NO_JOBS: Final = """\
no jobs yet.  Next:
  luad new hello --every 1h    write a job file, and its handler
  luad test hello              run it once, here"""
FIELDS: Final = (
    *("name", "tags", "user_id", "status", "enabled", "health", "running", "file", "pause"),
    *("schedule", "schedule_text", "timezone", "timeout_seconds", "recent_runs", "last_run"),
    *("next_run_at", "gone_at"),
)
"""The members of a job that the table shows."""

FAR: Final = 1 << 62
"""A value that sorts after every instant."""


@click.command(
    "list",
    cls=Command,
    rules=[
        Exclusive("--offline", "--url"),
        Exclusive("--offline", "--socket"),
        Exclusive("--offline", "--all"),
    ],
)
@click.option("-a", "--all", "is_all", is_flag=True, help="Dynamic jobs as well")
@click.option("-t", "--tag", "tags", multiple=True, help="Only jobs with this tag")
@click.option(
    "--user",
    metavar="ID",
    shell_complete=user_ids,
    help="Only jobs of this user, including dynamic ones",
)
@click.option("--status", "conditions", multiple=True, help=f"Only these: {' '.join(CONDITIONS)}")
@click.option("--sort", type=click.Choice(["name", "next", "last", "duration"]), default="name")
@click.option(
    "--runs", "length", type=click.IntRange(0, 20), default=20, help="Length of the strip"
)
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C")
@click.option("--offline", is_flag=True, help="From the files, not from the daemon")
@pass_session
def list_(
    session: Session,
    *,
    is_all: bool,
    tags: tuple[str, ...],
    user: str | None,
    conditions: tuple[str, ...],
    sort: str,
    length: int,
    watch: bool,
    offline: bool,
) -> None:
    """Show jobs: status, schedule, last runs, next run.

    Without a daemon the jobs come from the files, with a note on stderr. The strip shows the last runs,
    oldest left: a higher bar is a longer run, a cross is a failed run, a dot did not run.
    """
    needs_daemon = _needs_daemon(words(conditions), offline=offline)
    chosen = _filter(words(tags), user, words(conditions))
    if not watch:
        gc.disable()  # the answer has many objects and no garbage; the process is short
    while True:
        is_all = is_all or user is not None
        answer = fetch(
            session,
            is_all=is_all,
            user=user,
            offline=offline,
            tags=words(tags),
            needs_daemon=needs_daemon,
        )
        jobs = answer["jobs"]
        shown = sorted(filter(chosen, jobs), key=_order(sort))
        answer = {**answer, "jobs": shown}
        if session.json:
            (session.out.json_line if watch else session.out.json)(answer)
        else:
            if watch and session.out.is_terminal:
                print("\x1b[H\x1b[2J", end="")
            is_chosen = bool(tags or user or conditions)
            _show(session, answer, length, is_chosen=is_chosen)
            for line in _unknown_tags(session, words(tags), answer, is_all=is_all, jobs=jobs):
                session.out.warn(line)
        if not watch:
            return
        time.sleep(REFRESH_SECONDS)
        session.now = wall_ms()


def _unknown_tags(
    session: Session,
    tags: list[str],
    answer: JsonObject,
    *,
    is_all: bool,
    jobs: list[JsonObject],
) -> list[str]:
    """Return a line for each of *tags* that none of *jobs* has."""
    missing = set(tags) - _tags_of(jobs)
    if not missing:
        return []
    known = _tags_of(jobs)
    if not answer.get("offline"):  # the answer has only jobs with these tags
        from luad.cli.project.source import all_jobs

        every = all_jobs(connect(session), with_dynamic=is_all, fields=("tags",))
        known |= _tags_of(every["jobs"])
    lines = []
    for tag in sorted(missing):
        near = close_to(tag, sorted(known))
        others = (
            f"the tags are: {' '.join(sorted(known)[:MAX_TAGS])}" if known else "no job has a tag"
        )
        hint = f"did you mean `{near[0]}`?" if near else others
        lines.append(f"no job here has the tag `{tag}`  ({hint})")
    return lines


def _tags_of(jobs: list[JsonObject]) -> set[str]:
    return {tag for job in jobs for tag in job.get("tags") or ()}


def fetch(
    session: Session,
    *,
    is_all: bool,
    offline: bool,
    user: str | None = None,
    tags: Sequence[str] = (),
    needs_daemon: bool = False,
) -> JsonObject:
    """Return the jobs from the daemon, or from the files with *offline* or without a daemon.

    *needs_daemon*: the files are no answer, so that the error is raised.
    """
    reason = None
    if not offline:
        from luad.cli.project.source import all_jobs

        try:
            fields = () if session.json else FIELDS
            client = connect(session)
            return all_jobs(client, with_dynamic=is_all, user=user, tags=tags, fields=fields)
        except UnavailableError as error:
            if needs_daemon or session.url is not None or error.code != "unavailable":
                raise  # the daemon at a URL has other files
            reason = error
    from luad.cli.project.offline import jobs_from_files

    return jobs_from_files(session, without_daemon=reason)


def _needs_daemon(conditions: list[str], *, offline: bool) -> bool:
    """Return True if the files do not tell one of *conditions*; raises a usage error for a wrong one."""
    for word in conditions:
        if word not in CONDITIONS:
            raise click.UsageError(f"--status {word} is not one of {', '.join(CONDITIONS)}")
    unknown = [each for each in conditions if each not in IN_FILES]
    if offline and unknown:
        raise CommandError(
            f"--offline does not know which jobs are {unknown[0]}: the files do not tell",
            code="usage",
            hint="leave out --offline, so that luad asks the daemon",
        )
    return bool(unknown)


def _filter(
    tags: list[str], user: str | None, conditions: list[str]
) -> Callable[[JsonObject], bool]:
    def is_chosen(job: JsonObject) -> bool:
        has_tag = not tags or not set(tags).isdisjoint(job.get("tags") or ())
        is_theirs = user is None or job.get("user_id") == user
        return has_tag and is_theirs and (not conditions or has_condition(job, conditions))

    return is_chosen


def _order(sort: str) -> Callable[[JsonObject], Any]:
    def last(job: JsonObject) -> int:
        run = job.get("last_run") or {}
        return -(parse_rfc3339(run.get("started_at") or run.get("completed_at")) or 0)

    keys: dict[str, Callable[[JsonObject], Any]] = {
        "name": lambda job: job["name"],
        "next": lambda job: parse_rfc3339(job.get("next_run_at")) or FAR,
        "last": last,
        "duration": lambda job: -((job.get("last_run") or {}).get("duration_ms") or 0),
    }
    return lambda job: (keys[sort](job), job["name"])


def _show(session: Session, answer: JsonObject, length: int, *, is_chosen: bool = False) -> None:
    jobs = answer["jobs"]
    now, zone, out = session.now, session.zone, session.out
    strip_header = f"LAST {length} RUNS"
    table = Table(
        ["", "JOB", "SCHEDULE", strip_header, "LAST", "TOOK", "NEXT"],
        right=frozenset({"TOOK"}),
        flexible=(strip_header, "SCHEDULE", "TOOK", "NEXT", "LAST", "JOB"),
        uncut=frozenset({"TOOK"}),
        keep_end=frozenset({strip_header}),
        min_widths={"SCHEDULE": 16, "LAST": 20, "NEXT": 14},
    )
    for job in jobs:
        glyph, style = GLYPHS[condition(job)]
        when, took = last_run_text(job, now)
        table.rows.append(
            [
                Cell(glyph, style),
                Cell(job["name"], "bold"),
                schedule_text_of(job, now, zone),
                Cell(strip(job.get("recent_runs") or (), length), style),
                when,
                took,
                next_run_text(job, now, zone),
            ]
        )
    if jobs:
        out.table(table)
    elif not (is_chosen or answer.get("hidden_dynamic") or answer.get("broken_files")):
        out.info(NO_JOBS)
        return
    out.info(_summary(answer, jobs) + f"  Times: {zone_name(zone, now)}", "dim")
    stale = {job["file"]["path"] for job in jobs if is_stale(job) and job.get("file")}
    for path in sorted(stale):
        out.warn(
            f"warning: {path} is broken; its last good version stays installed  (luad check)",
            "yellow",
        )
    if answer.get("offline"):
        return  # the note about the missing daemon counts the errors
    others = [path for path in answer.get("broken_files") or () if path not in stale]
    for path in others[:MAX_WARNINGS]:
        out.warn(f"warning: {path} has an error  (luad status shows it)", "yellow")
    if len(others) > MAX_WARNINGS:
        out.warn(f"warning: {len(others) - MAX_WARNINGS} more files have errors", "yellow")


def _summary(answer: JsonObject, jobs: list[JsonObject]) -> str:
    found = [condition(job) for job in jobs]
    notable = ("failing", "running", "paused", "stale")
    counts = [f"{found.count(word)} {word}" for word in notable if word in found]
    text = plural(len(jobs), "job") + (f": {', '.join(counts)}" if counts else "") + "."
    if hidden := answer.get("hidden_dynamic"):
        text += f"  {plural(hidden, 'dynamic job')} hidden (-a)."
    return text
