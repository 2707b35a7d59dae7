"""`luad version` and `luad help`.

Room rule: says what is; needs neither files nor a daemon.
"""

from __future__ import annotations

import platform
import sys
from typing import Final

import click

from luad import __version__
from luad.cli.base import Command, pass_session
from luad.cli.failure import CommandError, close_to
from luad.cli.session import Session

DEPENDENCIES: Final = (
    "PyYAML",
    "SQLAlchemy",
    "alembic",
    "click",
    "croniter",
    "jsonschema",
    "prometheus-client",
    "starlette",
    "structlog",
    "tzdata",
    "uvicorn",
    "watchfiles",
)


@click.command("version", cls=Command)
@pass_session
def version(session: Session) -> None:
    """The version of luad and of what it stands on."""
    found = {
        "luad": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
    }
    if session.json or session.verbose:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        libraries = {}
        for name in DEPENDENCIES:
            try:
                libraries[name] = installed(name)
            except PackageNotFoundError:  # copied rather than installed
                libraries[name] = "not installed"
        if session.json:
            session.out.json({**found, "libraries": libraries})
            return
        found |= libraries
    session.out.line(f"luad {__version__}")
    if session.verbose:
        for name, text in list(found.items())[1:]:
            session.out.line(f"  {name:<12}  {text}")


@click.command("help", cls=Command)
@click.argument("topic", required=False)
@click.pass_context
def help_(ctx: click.Context, topic: str | None) -> None:
    """Longer texts: luad help TOPIC; a command's name shows its options."""
    from luad.cli.topics import TOPICS

    root = ctx.find_root()
    out = ctx.ensure_object(Session).out
    if topic is None:
        out.line("Topics (luad help TOPIC):")
        for name, text in TOPICS.items():
            out.line(f"  {name:<12}  {text.strip().splitlines()[0]}")
        out.line("Commands: luad --help; luad COMMAND --help")
        return
    if topic in TOPICS:
        out.line(TOPICS[topic].strip())
        return
    assert isinstance(root.command, click.Group)
    command = root.command.get_command(root, topic)
    if command is None:
        near = close_to(topic, [*TOPICS, *root.command.list_commands(root)])
        hint = f"did you mean `luad help {near[0]}`?" if near else "luad help lists the topics"
        raise CommandError(f"there is no topic `{topic}`", code="not_found", hint=hint)
    with command.make_context(topic, [], parent=root, resilient_parsing=True) as inner:
        out.line(command.get_help(inner))
