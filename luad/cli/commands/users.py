"""`luad users` and `luad send`: users, their channels, and messages to them.

Rule: it sends requests to the daemon; it writes only new files in users.d.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.commands.create import checked_key
from luad.cli.complete import user_ids
from luad.cli.option_conflicts import OnlyFor
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError, ExitCode
from luad.cli.terminal.output import Cell, Table, clean
from luad.cli.terminal.times import parse_rfc3339, show_took, show_when
from luad.errors import LuadError

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.json_text import JsonObject

TIMEOUT_SECONDS: Final = 120.0
"""The time-out of a send: a channel may take a minute, and there may be several."""

PROBE_SECONDS: Final = 2.0
"""The time-out of a request of which only the wording of a message depends."""

ACTIONS: Final = ("list", "show", "add", "remove", "test", "inbox")
FILE: Final = """\
# yaml-language-server: $schema=../.luad/users.schema.json

id: {id}
full_name: {name}
channels:
  - inbox
  - log
"""


@click.command(
    "users",
    cls=Command,
    rules=[
        OnlyFor("--name", ("add",)),
        OnlyFor("--email", ("add",)),
        OnlyFor("--phone", ("add",)),
        OnlyFor("--dynamic", ("add",)),
        OnlyFor("-n", ("inbox",)),
        OnlyFor(
            "user",
            (
                "show",
                "add",
                "remove",
                "test",
                "inbox",
            ),
        ),
    ],
)
@click.argument("action", type=click.Choice(ACTIONS), default="list")
@click.argument("user", required=False, shell_complete=user_ids)
@click.option("--name", default="", metavar="TEXT", help="With add: the full name")
@click.option("--email", "emails", multiple=True, help="With add: a mail address")
@click.option("--phone", "phones", multiple=True, help="With add: a telephone number")
@click.option(
    "--dynamic", is_flag=True, help="With add: store the user in the database, not in users.d/"
)
@click.option("-n", "count", type=click.IntRange(1, 500), default=20, help="With inbox: how many")
@pass_session
def users(
    session: Session,
    *,
    action: str,
    user: str | None,
    name: str,
    emails: tuple[str, ...],
    phones: tuple[str, ...],
    dynamic: bool,
    count: int,
) -> int | None:
    """Manage users and their channels: list, show, add, remove, test (sends a message), inbox.

    add writes users.d/ID.yaml; with --dynamic it stores the user in the database of the daemon.
    test sends a message by each channel, and exits 6 if one of them fails.
    """
    if action == "list":
        _list(session)
        return None
    if user is None:
        raise CommandError(
            "the id of the user is missing", code="usage", hint=f"luad users {action} ID"
        )
    match action:
        case "show":
            _show(session, user)
        case "add":
            _add(session, user, name, emails, phones, is_dynamic=dynamic)
        case "remove":
            _remove(session, user)
        case "test":
            text = "A message from luad: this channel works."
            return _send(session, user, [text], {"require": "all"})
        case _:
            _inbox(session, user, count)
    return None


def _path(user: str) -> str:
    from luad.client import segment

    return f"/users/{segment(user)}"


def _list(session: Session) -> None:
    answer = connect(session).get("/users")
    if session.json:
        session.out.json(answer)
        return
    table = Table(["USER", "NAME", "CHANNELS", "FROM"])
    for each in answer["users"]:
        channels = ", ".join(channel["name"] for channel in each["channels"])
        table.rows.append(
            [Cell(each["id"], "bold"), clean(each["full_name"]), channels, _origin(each)]
        )
    if table.rows:
        session.out.table(table)
    else:
        session.out.info("no users yet  (luad users add ID)")


def _origin(user: JsonObject) -> str:
    file = user.get("file")
    if file is None:
        return "added at run time"
    return f"{file['path']}:{file['line']}{'  (stale)' if file['stale'] else ''}"


def _show(session: Session, user: str) -> None:
    found = connect(session).get(_path(user))
    if session.json:
        session.out.json(found)
        return
    import json

    out = session.out
    out.line(f"{found['id']}  {clean(found['full_name'])}", "bold")
    fields = {
        "from": _origin(found),
        "emails": ", ".join(found["emails"]),
        "phones": ", ".join(found["phones"]),
        "timezone": found["timezone"],
        "data": json.dumps(found["data"], ensure_ascii=False) if found["data"] else "",
    }
    for key, value in fields.items():
        if value:
            out.line(f"  {key:<10}{clean(value)}")
    for channel in found["channels"]:
        out.line(
            f"  {'channel':<10}{channel['name']} ({channel['type']}) {channel['url']}".rstrip()
        )


def _add(
    session: Session,
    user: str,
    name: str,
    emails: tuple[str, ...],
    phones: tuple[str, ...],
    *,
    is_dynamic: bool,
) -> None:
    body: dict[str, object] = {"id": user}
    if name:
        body["full_name"] = name
    if emails:
        body["emails"] = list(emails)
    if phones:
        body["phones"] = list(phones)
    if is_dynamic:
        answer = connect(session).post("/users", body)
        if session.json:
            session.out.json(answer)
        else:
            session.out.info(f"Added {user} to the database of the daemon")
        return
    path = _write(session, body)
    if session.json:
        session.out.json({"created": path})
    else:
        when = "the daemon reads it at once"
        if not _has_daemon(session):
            when = "luad serve will read it; no daemon of this project runs now"
        session.out.info(f"Created {path}; {when}")


def _has_daemon(session: Session) -> bool:
    """Return True if a running daemon reads the users files of this project."""
    from luad.cli.project.folders import project_here
    from luad.cli.project.target_daemon import is_daemon_named

    try:
        place = connect(session, PROBE_SECONDS, is_quiet=True).locate()
    except (LuadError, OSError):
        return False
    if place is None:
        return False
    return place.is_project or is_daemon_named(session) or project_here(session) is None


def _write(session: Session, body: JsonObject) -> str:
    import json

    from luad.cli.project import folders
    from luad.config.users.user_file import load_users

    chosen = folders.settings(session)
    is_at_hand = folders.settings_path(session) or any(each.is_dir() for each in chosen.jobs)
    if session.url is not None or not is_at_hand:
        raise CommandError(
            "the working directory is not in a project, so it has no users.d/",
            code="usage",
            hint="--dynamic adds the user to the database; luad init creates a project",
        )
    folder = chosen.users[0]

    def as_yaml(value: object) -> str:  # JSON is YAML, except for characters that take two escapes
        return json.dumps(value, ensure_ascii=False)

    lines = [FILE.format(id=as_yaml(body["id"]), name=as_yaml(body.get("full_name", "")))]
    lines += [f"{key}: {as_yaml(body[key])}\n" for key in ("emails", "phones") if key in body]
    text = "".join(lines)
    path = folder / f"{body['id']}.yaml"
    problems = load_users(str(path), text.encode()).problems
    if problems or "/" in body["id"]:
        reason = problems[0].message if problems else "an id has no slash"
        raise CommandError(reason, code="usage", hint=problems[0].help if problems else "")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        hint = "edit it"
        raise CommandError(f"{path} already exists", code="file_exists", hint=hint) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot write {path}: {reason}") from error
    return str(path)


def _remove(session: Session, user: str) -> None:
    client = connect(session)
    if file := client.get(_path(user)).get("file"):
        place = f"{file['path']}:{file['line']}"
        hint = "delete the user from the file"
        raise CommandError(f"{user} comes from {place}", code="file_owned", hint=hint)
    session.confirm(f"Remove {user} with the messages and settings of this user?")
    answer = client.delete(_path(user))
    if session.json:
        session.out.json(answer)
    else:
        session.out.info(answer["message"])


def _inbox(session: Session, user: str, count: int) -> None:
    answer = connect(session).get(f"{_path(user)}/messages", limit=count)
    if session.json:
        session.out.json(answer)
        return
    from luad.config.users.message_bodies import plain_text

    for message in reversed(answer["messages"]):
        at = parse_rfc3339(message["at"])
        moment = "" if at is None else show_when(at, session.zone, session.now)
        of_job = f"  {message['job']}" if message["job"] else ""
        session.out.line(f"{moment}{of_job}", "dim")
        if message["title"]:
            session.out.line(f"  {clean(message['title'])}", "bold")
        for line in plain_text(message["parts"]).splitlines():
            session.out.line(f"  {clean(line)}")
        failed = [each for each in message["deliveries"] if not each["ok"]]
        for each in failed:
            session.out.line(f"  not by {each['channel']}: {clean(each['error'])}", "red")
    if not answer["messages"]:
        session.out.info(f"no message was sent to {user} yet")


@click.command("send", cls=Command)
@click.argument("user", shell_complete=user_ids)
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option("--title", metavar="TEXT", help="A title above the text")
@click.option("--channel", "channels", multiple=True, help="Only by this channel of the user")
@click.option("--image", "images", multiple=True, metavar="URL", help="Also an image")
@click.option("--file", "files", multiple=True, metavar="PATH|URL", help="Also a file")
@click.option("--idempotency-key", metavar="KEY", help="Requests with the same key send once")
@click.option(
    "--require",
    type=click.Choice(["any", "all"]),
    default="any",
    help="Which deliveries must succeed; default: any",
)
@pass_session
def send(
    session: Session,
    *,
    user: str,
    texts: tuple[str, ...],
    title: str | None,
    channels: tuple[str, ...],
    images: tuple[str, ...],
    files: tuple[str, ...],
    idempotency_key: str | None,
    require: str,
) -> int:
    """Send a message now, and show its delivery on every channel.

    Each TEXT is a separate message. Exit 6 if no channel delivered one, or with --require all if any
    channel failed.
    """
    parts: list[object] = [*texts]
    parts += [{"type": "image", "url": each} for each in images]
    parts += [
        _file(each, is_here=not (session.url or os.environ.get("LUAD_URL"))) for each in files
    ]
    if not parts or not all(each.strip() for each in texts):
        raise CommandError("the message is empty", code="usage", hint='luad send ann "hello"')
    extra: dict[str, object] = {"require": require}
    if title is not None:
        extra["title"] = title
    if channels:
        extra["channels"] = list(channels)
    return _send(session, user, parts, extra, idempotency_key)


def _file(place: str, *, is_here: bool) -> dict[str, str]:
    """Return the part for a file, with an absolute path for the daemon.

    With *is_here* the daemon is on this machine, and a missing file raises `CommandError` (usage).
    """
    if "://" in place:
        return {"type": "file", "url": place, "name": place.rpartition("/")[2]}
    path = Path(place).absolute()
    if is_here and not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        hint = "write the path of a file, or the URL of one"
        raise CommandError(f"--file {place} {what}", code="usage", hint=hint)
    return {"type": "file", "path": str(path), "name": path.name}


def _send(
    session: Session, user: str, parts: list[Any], extra: JsonObject, key: str | None = None
) -> int:
    client = connect(session, TIMEOUT_SECONDS)
    headers = {} if key is None else {"Idempotency-Key": f'"{checked_key(key)}"'}
    body = {"messages": parts, **extra}
    answer = client.request("POST", f"{_path(user)}/send", body, headers=headers)
    if session.json:
        session.out.json(answer)
    elif not answer["deliveries"]:
        session.out.warn(f"{user} has no channel  (luad users show {user})")
    else:
        for each in answer["deliveries"]:
            glyph, style = ("✓", "green") if each["ok"] else ("✗", "red")
            text = clean(each["error"] or each["answer"])
            degraded = "  (as a link)" if each["degraded"] else ""
            took = show_took(each["elapsed_ms"])
            number = f"{each['index'] + 1}: " if len(parts) > 1 else ""
            line = f"{glyph} {number}{each['channel']:<11} {each['status']:<10}{took:>8}  {text}{degraded}"
            session.out.line(line.rstrip(), style)
    return ExitCode.OK if answer["ok"] else ExitCode.DELIVERY_FAILED
