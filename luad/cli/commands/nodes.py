"""`luad nodes`: the nodes and workers that share the store.

Rule: it shows them and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.labels import plural
from luad.cli.terminal.output import Cell, Table
from luad.cli.terminal.times import parse_rfc3339, show_left

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.json_text import JsonObject

_STYLES: Final = {"active": "green", "behind": "yellow", "gone": "red"}
_DIGITS: Final = 8
"""As much of a digest as tells two sets of files apart."""


@click.command("nodes", cls=Command)
@pass_session
def nodes(session: Session) -> None:
    """Show the nodes and workers that share the store: status, shards, queues, clock."""
    answer = connect(session).get("/nodes")
    if session.json:
        session.out.json(answer)
        return
    if not answer["nodes"]:
        session.out.info("luad has its store for itself")
        return
    session.out.table(_nodes(session, answer))
    if answer["workers"]:
        session.out.line()
        session.out.table(_workers(session, answer))
    if free := answer["free_shards"]:
        verb = "has" if free == 1 else "have"
        words = f"{plural(free, 'shard')} of {answer['shards']} {verb} no node: their jobs wait"
        session.out.info(words, "yellow")


def _nodes(session: Session, answer: JsonObject) -> Table:
    headers = ["NODE", "STATUS", "SHARDS", "VERSION", "FILES", "CLOCK", "SEEN"]
    table = Table(headers, right=frozenset({"SHARDS", "CLOCK"}))
    for each in answer["nodes"]:
        status, offset = each["status"], each["clock_offset_ms"]
        table.rows.append(
            [
                Cell(each["name"], "bold"),
                Cell(status, _STYLES.get(status, "")),
                str(each["shards"]),
                each["version"],
                (each["files_digest"] or "")[:_DIGITS],
                "" if offset is None else f"{offset:+d} ms",
                _seen(session, each),
            ]
        )
    return table


def _workers(session: Session, answer: JsonObject) -> Table:
    """Return the workers; yellow is code that is not that of the node which published the jobs."""
    table = Table(["WORKER", "QUEUES", "VERSION", "CODE", "SEEN"])
    for each in answer["workers"]:
        queues, code = " ".join(each["queues"]), each.get("code_digest") or ""
        style = "yellow" if code and code != answer.get("code_digest") else ""
        shown = Cell(code[:_DIGITS], style)
        table.rows.append([each["name"], queues, each["version"], shown, _seen(session, each)])
    return table


def _seen(session: Session, row: JsonObject) -> str:
    at = parse_rfc3339(row["seen_at"])
    return "" if at is None else show_left(at, session.now)
