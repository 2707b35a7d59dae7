"""`luad why`: why a job did or did not run.

Rule: it shows what the daemon says, and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luad.cli.base import Command, pass_session
from luad.cli.complete import job_names
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.output import clean
from luad.cli.terminal.times import parse_when, rfc3339

if TYPE_CHECKING:
    from luad.cli.session import Session


@click.command("why", cls=Command)
@click.argument("name", shell_complete=job_names)
@click.argument("instant", required=False)
@pass_session
def why(session: Session, *, name: str, instant: str | None) -> None:
    """Say why a job did or did not run, the last time or at INSTANT, and when it runs.

    INSTANT is a time of its schedule (`09:00`, `2026-12-25T09:00`) or a duration back (`2h`).
    """
    from luad.client import segment

    at = None
    if instant is not None:
        at = rfc3339(parse_when(instant, session.zone, session.now, direction=-1))
    answer = connect(session).get(f"/jobs/{segment(name)}/why", at=at)
    if session.json:
        session.out.json(answer)
        return
    session.out.line(clean(answer["text"]))
    session.out.line(clean(answer["summary"]))
    if answer["run"] is not None:
        session.out.info(f"luad show {answer['run']['id']}", "dim")
