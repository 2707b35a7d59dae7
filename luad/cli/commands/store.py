"""`luad store`: check a PostgreSQL database, upgrade its schema, and move the embedded store to it.

Rule: it works without a daemon; those that change the embedded store need its folder for themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.option_conflicts import OnlyFor
from luad.cli.terminal.failure import CommandError, ExitCode
from luad.cli.terminal.output import clean
from luad.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings
    from luad.config.settings.store_target import Target
    from luad.core.events import Log

ACTIONS: Final = ("check", "upgrade", "copy", "reopen")
_SIGNS: Final = {"good": "✓", "warning": "!", "bad": "✗"}


@click.command(
    "store",
    cls=Command,
    rules=[OnlyFor("--to", ("check", "upgrade", "copy")), OnlyFor("--state", ("copy", "reopen"))],
)
@click.argument("action", type=click.Choice(ACTIONS))
@click.option(
    "--to", "url", metavar="URL", help="The PostgreSQL store; default: `store` of luad.yaml"
)
@click.option(
    "--state", metavar="DIR", help="The folder of the embedded store, for copy and reopen"
)
@pass_session
def store(session: Session, /, *, action: str, url: str | None, state: str | None) -> int:
    """Check, upgrade or fill the PostgreSQL store.

    check examines the database and changes nothing. upgrade creates or migrates its schema. copy moves the history,
    jobs, users and tokens of the embedded store into an empty database while luad is stopped. reopen goes back.
    """
    from luad.cli.project.folders import settings

    chosen = settings(session, {"store": url, "state_dir": state})
    try:
        if action == "reopen":
            return _reopen(session, chosen.state_dir)
        target = _target(chosen)
        if action == "check":
            return _check(session, target)
        if action == "upgrade":
            return _upgrade(session, target)
        return _copy(session, chosen.state_dir, target)
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"a store in PostgreSQL needs {error.name}", hint="pip install '.[cluster]'"
        ) from error


def _target(chosen: Settings) -> Target:
    from luad.store.password_file import read_password

    if chosen.store is None:
        raise CommandError(
            "no PostgreSQL store is named", code="usage",
            hint="set `store` in luad.yaml, or give --to postgresql://USER@HOST/DATABASE",
        )  # fmt: skip
    return replace(chosen.store, password=read_password(chosen.store_password_file))


def _check(session: Session, target: Target) -> int:
    from luad.store.postgresql.check import Level, check_store

    found = check_store(target)
    is_good = all(each.level is not Level.BAD for each in found)
    if session.json:
        rows = [{"level": each.level, "what": each.what, "detail": each.words} for each in found]
        session.out.json({"store": target.shown, "ok": is_good, "findings": rows})
    else:
        for each in found:
            session.out.line(f"{_SIGNS[each.level]} {each.what:<12}  {clean(each.words)}")
    return ExitCode.OK if is_good else ExitCode.ERROR


def _upgrade(session: Session, target: Target) -> int:
    from luad.store.postgresql.opening import prepare_store
    from luad.store.tables import HEAD

    prepare_store(target, "upgrade", _reporter(session))
    if session.json:
        session.out.json({"store": target.shown, "schema": HEAD})
    else:
        session.out.line(f"{target.shown} has schema {HEAD}.")
    return ExitCode.OK


def _copy(session: Session, state_dir: Path, target: Target) -> int:
    from luad.store.moving import LEFT_OUT, copy_store

    copied = copy_store(state_dir, target, _reporter(session))
    if session.json:
        session.out.json({"store": target.shown, "rows": copied.rows, "left_out": LEFT_OUT})
        return ExitCode.OK
    if not copied.is_new:
        session.out.line("An earlier copy was complete.")
    for name, count in copied.rows.items():
        session.out.line(f"{count:>12,}  {name}")
    for name, why in LEFT_OUT.items():
        session.out.line(f"           -  {name}: {why}")
    session.out.info(
        f"{state_dir} is marked as moved: luad serve refuses it. Set `store: {target.shown}` in luad.yaml."
    )
    return ExitCode.OK


def _reopen(session: Session, state_dir: Path) -> int:
    from luad.store.moving import reopen

    session.confirm(
        f"Use the store in {state_dir} again? What happened since it was moved is not carried back."
    )
    where = reopen(state_dir)
    if session.json:
        session.out.json({"state_dir": str(state_dir), "was_moved_to": where})
        return ExitCode.OK
    session.out.line(f"luad serve uses {state_dir} again.")
    session.out.info(f"What happened in {where} since is not in it. Stop the nodes of that store.")
    return ExitCode.OK


def _reporter(session: Session) -> Callable[[Log], None]:
    def report(line: Log) -> None:
        words = " ".join(f"{key}={value}" for key, value in line.fields.items())
        session.out.info(f"{line.event} {words}")

    return report
