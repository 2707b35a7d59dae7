"""`luad history`: runs, newest first.

Rule: it shows runs and changes nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session, words
from luad.cli.complete import job_names, user_ids
from luad.cli.option_conflicts import Exclusive
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError, ExitCode
from luad.cli.terminal.labels import BAD, STATES, error_text, short_when, state_cell
from luad.cli.terminal.output import Cell, Table
from luad.cli.terminal.progress import progress
from luad.cli.terminal.times import parse_rfc3339, parse_when, rfc3339, show_took

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from luad.cli.session import Session
    from luad.json_text import JsonObject

SHORT_ID: Final = 17
"""The length of a short id: `run_`, ten characters of time and three random ones."""

MOST_RESUMED: Final = 3
"""The number of runs of a resume that a row names; `luad show` names all."""

PAGE: Final = 500
"""Runs of one request; longer histories are fetched page by page."""

COLUMNS: Final = (
    "id", "job", "status", "reason", "trigger", "scheduled_for", "started_at", "completed_at",
    "duration_ms", "attempt", "count", "user_id",
)  # fmt: skip
"""The columns of --csv by their names in the API; a column `error` follows."""

TRIGGERS: Final = ["schedule", "manual", "api", "retry", "catchup", "resume"]


@click.command(
    "history",
    cls=Command,
    rules=[
        Exclusive("--csv", "--json"),
        Exclusive("--all", "-n"),
        Exclusive("--failed", "--status"),
    ],
)
@click.argument("name", required=False, shell_complete=job_names)
@click.option("--status", "states", multiple=True, help=f"Only these: {' '.join(STATES)}")
@click.option("--failed", is_flag=True, help="Only failed, timed out and lost runs")
@click.option("--since", metavar="WHEN", help="A time, or a duration back from now")
@click.option("--until", metavar="WHEN", help="A time, or a duration back from now")
@click.option("--trigger", type=click.Choice(TRIGGERS), help="Only runs with this cause")
@click.option(
    "--user", metavar="ID", shell_complete=user_ids, help="Only runs of jobs of this user"
)
@click.option(
    "--q",
    "--grep",
    "q",
    metavar="TEXT",
    help="Only runs with this text in the job's name or the error",
)
@click.option(
    "--delivery",
    type=click.Choice(["ok", "failed"]),
    help="Only runs of which messages arrived (ok) or not (failed)",
)
@click.option("-n", "count", type=click.IntRange(1), default=50, help="How many (50)")
@click.option("--all", "is_all", is_flag=True, help="All runs")
@click.option("--csv", "is_csv", is_flag=True, help="As comma-separated values, with a header")
@click.option("--cursor", help="Continue after the last answer")
@click.option("--exit-status", is_flag=True, help="Exit 4 if any of these runs failed")
@pass_session
def history(
    session: Session,
    *,
    name: str | None,
    states: tuple[str, ...],
    failed: bool,
    since: str | None,
    until: str | None,
    trigger: str | None,
    user: str | None,
    q: str | None,
    delivery: str | None,
    count: int,
    is_all: bool,
    is_csv: bool,
    cursor: str | None,
    exit_status: bool,
) -> int | None:
    """Show runs, newest first, of all jobs or of one."""
    from luad.client import named

    query = {
        "job": None if name is None else named(name),
        "status": _states(words(states), failed=failed) or None,
        **_between(session, since, until),
        "trigger": trigger,
        "user": user,
        "q": q,
        "delivery": delivery,
    }
    pages = _pages(session, query, cursor, None if is_all else count)
    if is_csv:
        is_bad = _write_csv(pages)
    else:
        is_filtered = any((*query.values(), cursor))
        is_bad = _show(session, pages, is_filtered=is_filtered)
    return ExitCode.RUN_FAILED if exit_status and is_bad else None


def _pages(
    session: Session, query: JsonObject, cursor: str | None, count: int | None
) -> Iterator[JsonObject]:
    """Yield the pages of ``GET /v1/runs`` until *count* runs have come; None is all of them."""
    client = connect(session)
    while True:
        limit = PAGE if count is None else min(PAGE, count)
        answer = client.get("/runs", **query, limit=limit, cursor=cursor)
        yield answer
        cursor = answer.get("next_cursor")
        if count is not None:
            count -= len(answer["runs"])
        if cursor is None or count == 0:
            return


def _show(session: Session, pages: Iterator[JsonObject], *, is_filtered: bool) -> bool:
    """Print all *pages* as one answer; return True if a run failed."""
    answer: JsonObject = {"runs": []}
    with progress(session.out, lambda: f"read {len(answer['runs'])} runs"):
        for page in pages:
            runs = [*answer["runs"], *page["runs"]] if answer["runs"] else page["runs"]
            answer = {**page, "runs": runs}
    runs = answer["runs"]
    if session.json:
        session.out.json(answer)
    elif runs:
        session.out.table(run_table(session, runs))
        if answer.get("next_cursor"):
            session.out.info(f"older runs: --cursor {answer['next_cursor']}, or --all", "dim")
    else:
        session.out.info("no such runs" if is_filtered else "no runs yet")
    return any(run["status"] in BAD for run in runs)


def _write_csv(pages: Iterator[JsonObject]) -> bool:
    """Print each page as it comes; return True if a run failed."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*COLUMNS, "error"])
    is_bad = False
    for page in pages:
        for run in page["runs"]:
            writer.writerow([*(run.get(column) for column in COLUMNS), error_text(run)])
            is_bad |= run["status"] in BAD
    return is_bad


def run_table(session: Session, runs: Sequence[JsonObject]) -> Table:
    """Return the table of *runs*; ids are short on a terminal."""
    table = Table(
        ["RUN", "JOB", "STATUS", "STARTED", "TOOK", "TRIGGER", "SENT", "ERROR"],
        right=frozenset({"TOOK"}),
        flexible=("ERROR", "SENT", "TRIGGER", "RUN", "TOOK", "STATUS", "JOB"),
        uncut=frozenset({"RUN", "TOOK", "SENT", "TRIGGER"}),
        min_widths={"STATUS": 18, "ERROR": 20},
    )
    for run in runs:
        at = parse_rfc3339(run.get("started_at") or run.get("scheduled_for"))
        table.rows.append(
            [
                Cell(run["id"][:SHORT_ID] if session.out.is_terminal else run["id"], "dim"),
                Cell(run["job"], "bold"),
                state_cell(run),
                "" if at is None else short_when(at, session.zone, session.now),
                show_took(run.get("duration_ms")),
                run.get("trigger") or "",
                _sent(run),
                _resumed(run) or _error_cell(run),
            ]
        )
    return table


def _error_cell(run: dict[str, object]) -> Cell:
    if run.get("result_omitted"):
        return Cell("result left out", "yellow")
    return Cell(error_text(run), "red")


def _resumed(run: JsonObject) -> Cell | None:
    """Return the runs that a resume has started for a row of skips; None without any."""
    ids = [each[:SHORT_ID] for each in run.get("resumed_by") or ()]
    if not ids:
        return None
    more = f" and {len(ids) - MOST_RESUMED} more" if len(ids) > MOST_RESUMED else ""
    return Cell(f"resumed by {' '.join(ids[:MOST_RESUMED])}{more}", "dim")


def _sent(run: JsonObject) -> str:
    sent = run.get("sent")
    return f"{sent['delivered']}/{sent['total']}" if sent else ""


def _states(states: list[str], *, failed: bool) -> list[str]:
    for state in states:
        if state not in STATES:
            raise click.UsageError(f"--status {state} is not one of {', '.join(STATES)}")
    return sorted({*states, *(BAD if failed else ())})


def _between(session: Session, since: str | None, until: str | None) -> JsonObject:
    """Return both ends as the API takes them; raises `CommandError` (usage) if nothing lies between them."""
    ends = {
        end: parse_when(text, session.zone, session.now, direction=-1)
        for end, text in (("since", since), ("until", until))
        if text is not None
    }
    if len(ends) == 2 and ends["until"] <= ends["since"]:
        raise CommandError(
            f"--until {until} is not after --since {since}, so no run lies between them",
            code="usage",
            hint="write the earlier time after --since:  --since 2h --until 1h",
        )
    return {end: rfc3339(at) for end, at in ends.items()}
