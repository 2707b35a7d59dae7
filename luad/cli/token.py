"""`luad token`: who may ask over TCP.

Room rule: asks the daemon; a secret is printed once and kept nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.failure import CommandError
from luad.cli.output import Cell, Table, clean
from luad.cli.times import parse_duration, parse_rfc3339, show_left, show_when

if TYPE_CHECKING:
    from luad.cli.session import Session

ACTIONS: Final = ("list", "create", "revoke")


@click.command("token", cls=Command)
@click.argument("action", type=click.Choice(ACTIONS), default="list")
@click.argument("name", required=False)
@click.option(
    "--role", type=click.Choice(["viewer", "operator", "admin"]), default="viewer",
    help="With create; default: viewer, who may look",
)  # fmt: skip
@click.option("--expires", metavar="DUR", help="With create; default: never")
@pass_session
def token(
    session: Session, *, action: str, name: str | None, role: str, expires: str | None
) -> None:
    """Ways in over TCP: list, create NAME, revoke NAME."""
    client = session.client()
    if action == "list":
        answer = client.get("/tokens")
        if session.json:
            session.out.json(answer)
            return
        table = Table(["TOKEN", "ROLE", "MADE", "EXPIRES"])
        for each in answer["tokens"]:
            made = f"{_when(session, each['created_at'])} by {clean(each['created_by'])}"
            until = _when(session, each["expires_at"]) or "never"
            row = [Cell(each["name"], "bold"), each["role"], made, until]
            table.rows.append(row)
        if table.rows:
            session.out.table(table)
        else:
            session.out.say("no tokens yet  (luad token create NAME)")
        return
    if name is None:
        raise CommandError("which token?", code="usage", hint=f"luad token {action} NAME")
    if action == "revoke":
        from luad.client import segment

        path = f"/tokens/{segment(name)}"
        session.confirm(f"Revoke the token {name}?")
        answer = client.delete(path)
        if session.json:
            session.out.json(answer)
        else:
            session.out.say(answer["message"])
        return
    body: dict[str, Any] = {"name": name, "role": role}
    if expires is not None:
        parse_duration(expires)
        body["expires_in"] = expires
    made = client.post("/tokens", body)
    if session.json:
        session.out.json(made)
        return
    session.out.line(made["token"])
    session.out.say("It is shown this once. Use it as $LUAD_TOKEN.")


def _when(session: Session, text: str | None) -> str:
    at = parse_rfc3339(text)
    if at is None:
        return ""
    return f"{show_when(at, session.zone, session.now)} ({show_left(at, session.now)})"
