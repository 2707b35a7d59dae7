"""`luad revisions` and `restore`: the earlier definitions of a job.

Rule: it sends requests to the daemon and changes nothing itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from luad.cli.base import Command, pass_session
from luad.cli.complete import job_names
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.labels import short_when
from luad.cli.terminal.output import Cell, Table, clean
from luad.cli.terminal.times import parse_rfc3339

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.json_text import JsonObject


@click.command("revisions", cls=Command)
@click.argument("name", shell_complete=job_names)
@click.option(
    "--diff", is_flag=True, help="Show the differences of each revision to the current one"
)
@pass_session
def revisions(session: Session, *, name: str, diff: bool) -> None:
    """Show the definitions that a job has had, the latest first."""
    from luad.client import segment

    answer = connect(session).get(f"/jobs/{segment(name)}/revisions")
    if session.json:
        session.out.json(answer)
        return
    out = session.out
    out.table(_table(session, answer["revisions"]))
    if diff:
        for each in answer["revisions"]:
            _show_difference(session, each)
    if answer.get("reason"):
        out.info(f"none can be restored: {answer['reason']}", "yellow")
    elif len(answer["revisions"]) > 1:
        whole = answer["revisions"][0]["definition"]["name"]
        out.info(f"luad restore {whole} REVISION restores one", "dim")


def _table(session: Session, rows: list[JsonObject]) -> Table:
    table = Table(
        ["REVISION", "FIRST SEEN", "IN FORCE FROM", "CHANGED SINCE"],
        flexible=("CHANGED SINCE",),
        uncut=frozenset({"REVISION"}),
    )
    for row in rows:
        changed = ", ".join(each["key"] for each in row["difference"])
        table.rows.append(
            [
                Cell(row["revision"], "bold"),
                _when(session, row["first_seen_at"]),
                _when(session, row["last_installed_at"]),
                Cell("in force", "green") if row["is_current"] else changed,
            ]
        )
    return table


def _when(session: Session, text: str) -> str:
    at = parse_rfc3339(text)
    return "" if at is None else short_when(at, session.zone, session.now)


def _show_difference(session: Session, row: JsonObject) -> None:
    if not row["difference"]:
        return
    out = session.out
    out.line(f"{row['revision']} differs from the current revision:", "bold")
    for each in row["difference"]:
        for sign, key, style in (("-", "now", "red"), ("+", "then", "green")):
            if each[key] is not None:
                text = json.dumps(each[key], ensure_ascii=False)
                out.line(clean(f"  {sign} {each['key']}: {text}"), style)


@click.command("restore", cls=Command)
@click.argument("name", shell_complete=job_names)
@click.argument("revision")
@pass_session
def restore(session: Session, *, name: str, revision: str) -> None:
    """Restore an earlier revision of a dynamic job; luad revisions NAME lists them.

    Metadata that runs have written stay. To change a static job, edit its file.
    """
    from luad.client import segment

    job = connect(session).post(f"/jobs/{segment(name)}/restore", {"revision": revision})
    if session.json:
        session.out.json(job)
        return
    summary = str(job.get("summary") or "")
    session.out.line(f"Restored {job['name']} to {job['revision']}: {summary}")
