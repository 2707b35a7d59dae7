"""`luad token`: the tokens for requests over TCP.

Rule: it prints a secret once and stores it nowhere.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.option_conflicts import OnlyFor
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError
from luad.cli.terminal.output import Cell, Table, clean
from luad.cli.terminal.times import parse_duration, parse_rfc3339, show_left, show_when
from luad.errors import NotFoundError
from luad.suggestions import close_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luad.cli.session import Session
    from luad.json_text import JsonObject

ACTIONS: Final = ("list", "create", "rotate", "revoke")
_OF: Final = {
    "role": ("create",),
    "expires": ("create", "rotate"),
    "overlap": ("rotate",),
    "made": ("revoke",),
}
"""The actions that each option belongs to."""


@click.command(
    "token",
    cls=Command,
    rules=[
        OnlyFor(
            "name",
            (
                "create",
                "rotate",
                "revoke",
            ),
        )
    ],
)
@click.argument("action", type=click.Choice(ACTIONS), default="list")
@click.argument("name", required=False)
@click.option(
    "--role", type=click.Choice(["viewer", "operator", "admin"]),
    help="With create; default: viewer, which may only read",
)  # fmt: skip
@click.option(
    "--expires", metavar="DUR",
    help="With create; default: never. With rotate; default: as before",
)  # fmt: skip
@click.option(
    "--overlap", metavar="DUR",
    help="With rotate: how long the previous secret stays valid; default: 0s",
)  # fmt: skip
@click.option(
    "--made/--not-made", default=None,
    help="With revoke: also the tokens that it created, or not; default: ask",
)  # fmt: skip
@pass_session
def token(session: Session, /, *, action: str, name: str | None, **options: Any) -> None:
    """Manage tokens for TCP: list, create NAME, rotate NAME, revoke NAME."""
    _check(action, options)
    if action == "list":
        _list(session)
    elif name is None:
        raise CommandError(
            "the name of the token is missing", code="usage", hint=f"luad token {action} NAME"
        )
    elif action == "revoke":
        _revoke(session, name, options["made"])
    elif action == "create":
        body = {"name": name, "role": options["role"] or "viewer"}
        _show_secret(session, connect(session).post("/tokens", body | _times(options)))
    else:
        made = connect(session).post(f"{_path(name)}/rotate", _times(options))
        _show_secret(session, made)
        if not session.json:
            until = _when(session, made["overlap_until"])
            ends = f"is valid until {until}" if until else "is no longer valid"
            session.out.info(f"The previous secret {ends}.")


def _check(action: str, options: Mapping[str, object]) -> None:
    """Raise `CommandError` (usage) for an option that *action* does not take."""
    for option, actions in _OF.items():
        if options[option] is not None and action not in actions:
            detail = f"--{option} has no meaning for luad token {action}"
            raise CommandError(detail, code="usage", hint=f"it belongs to {' and '.join(actions)}")


def _times(options: JsonObject) -> JsonObject:
    """Return the given durations as keys of the request."""
    keys = {"expires_in": options["expires"], "overlap": options["overlap"]}
    found = {key: value for key, value in keys.items() if value is not None}
    for each in found.values():
        parse_duration(each)
    return found


def _show_secret(session: Session, made: JsonObject) -> None:
    if session.json:
        session.out.json(made)
        return
    session.out.line(made["token"])
    session.out.info("luad shows it only now. Use it as $LUAD_TOKEN.")
    if "message" in made:
        session.out.info(made["message"])


def _list(session: Session) -> None:
    answer = connect(session).get("/tokens")
    if session.json:
        session.out.json(answer)
        return
    table = Table(["TOKEN", "ROLE", "MADE", "LAST USE", "EXPIRES"])
    for each in answer["tokens"]:
        made = f"{_when(session, each['created_at'])} by {clean(each['created_by'])}"
        used = _when(session, each.get("last_used_at")) or "never"
        until = _when(session, each["expires_at"]) or "never"
        if old := _when(session, each.get("overlap_until"), is_future=True):
            until += f"; the previous secret: {old}"
        table.rows.append([Cell(each["name"], "bold"), each["role"], made, used, until])
    if table.rows:
        session.out.table(table)
    else:
        session.out.info("no tokens yet  (luad token create NAME)")


def _revoke(session: Session, name: str, has_made: bool | None) -> None:
    client = connect(session)
    path = _path(name)
    tokens = [] if session.yes else client.get("/tokens")["tokens"]
    if not session.yes:
        _keep_known(name, [each["name"] for each in tokens])
    session.confirm(f"Revoke the token {name}?")
    if has_made is None and not session.yes:  # there is a terminal: the user has just answered
        made = _made_by(name, tokens)
        listed = ", ".join(map(clean, made))
        has_made = bool(made) and _is_wanted(f"{name} has created {listed}. Revoke these as well?")
    answer = client.request("DELETE", path, {"made": True} if has_made else None)
    if session.json:
        session.out.json(answer)
    else:
        session.out.info(answer["message"])
        for each in answer.get("made", ()):
            session.out.info(f"  luad token revoke {each}")


def _keep_known(name: str, known: list[str]) -> None:
    """Raise `NotFoundError` for an unknown token, before the user must confirm."""
    if name not in known:
        near = close_to(name, known)
        raise NotFoundError(
            f"no token `{name}`", hint="" if near else "luad token lists them", suggestions=near
        )


def _is_wanted(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _made_by(name: str, tokens: list[JsonObject]) -> list[str]:
    """Return the tokens that *name* created, directly or by tokens that it created."""
    created = {each["name"]: each["created_at"] for each in tokens}
    found: list[str] = []
    waiting = [name] if name in created else []
    while waiting:
        maker = waiting.pop()
        for each in tokens:
            is_made = each["created_by"] == f"token {maker}"
            is_new = each["name"] not in (name, *found)
            if is_made and is_new and each["created_at"] >= created[maker]:
                found.append(each["name"])
                waiting.append(each["name"])
    return found


def _path(name: str) -> str:
    from luad.client import segment

    return f"/tokens/{segment(name)}"


def _when(session: Session, text: str | None, *, is_future: bool = False) -> str:
    at = parse_rfc3339(text)
    if at is None or (is_future and at <= session.now):
        return ""
    return f"{show_when(at, session.zone, session.now)} ({show_left(at, session.now)})"
