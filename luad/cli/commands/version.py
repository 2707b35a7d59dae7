"""`luad version` and `luad help`.

Rule: it needs neither files nor a daemon.
"""

from __future__ import annotations

import platform
import re
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final

import click

from luad import __version__
from luad.cli.base import Command, pass_session
from luad.cli.session import Session
from luad.cli.terminal.failure import CommandError
from luad.suggestions import close_to

if TYPE_CHECKING:
    from luad.cli.terminal.output import Output

_CODE: Final = re.compile(r"LU[0-9]+")
WIDEST: Final = 80
"""The largest width of a help text."""

DEPENDENCIES: Final = (
    "PyYAML",
    "SQLAlchemy",
    "alembic",
    "click",
    "croniter",
    "jinja2",
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
    """Show the versions of luad, Python and the libraries; with -q only that of luad."""
    found = {
        "luad": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
    }
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    libraries = {}
    for name in DEPENDENCIES:
        try:
            libraries[name] = installed(name)
        except PackageNotFoundError:  # a copy without metadata of a package
            libraries[name] = "not installed"
    if session.json:
        session.out.json({**found, "libraries": libraries})
        return
    session.out.line(f"luad {__version__}")
    if not session.quiet:
        del found["luad"]
        for name, text in (found | libraries).items():
            session.out.line(f"  {name:<17}  {text}")


def fitted(text: str, width: int) -> str:
    """Return *text* with its paragraphs filled if they are too wide; indented lines stay as they are."""
    import textwrap

    width = min(width, WIDEST)
    lines: list[str] = []
    for is_text, group in groupby(text.splitlines(), lambda line: bool(line) and line[0] != " "):
        part = list(group)
        if is_text and max(map(len, part)) > width:
            part = textwrap.wrap(
                " ".join(part), width, break_long_words=False, break_on_hyphens=False
            )
        lines += part
    return "\n".join(lines)


def _show_code(out: Output, code: str) -> None:
    """Print the page of a problem code."""
    from luad.config.problem_pages import page_of
    from luad.config.problems import CODES

    if code not in CODES:
        near = close_to(code, list(CODES))
        hint = f"did you mean `luad help {near[0]}`?" if near else "luad help codes lists them"
        raise CommandError(f"`{code}` is not a problem code", code="not_found", hint=hint)
    out.line(fitted(page_of(code, CODES[code]), out.width))


def _show_codes(out: Output) -> None:
    from luad.config.problems import CODES

    out.line("Problem codes (luad help CODE explains one):")
    for code, name in CODES.items():
        out.line(f"  {code}  {name}")


@click.command("help", cls=Command)
@click.argument("topic", required=False)
@click.pass_context
def help_(ctx: click.Context, topic: str | None) -> None:
    """Show a help topic; with the name of a command, show its options."""
    from luad.cli.terminal.topics import OLD_NAMES, TOPICS
    from luad.wire import example_date

    root = ctx.find_root()
    out = ctx.ensure_object(Session).out
    if topic is None:
        out.line("Topics (luad help TOPIC):")
        for name, text in TOPICS.items():
            out.line(f"  {name:<12}  {text.strip().splitlines()[0]}")
        out.line("  codes         The problem codes; luad help LU102 explains one")
        out.line("Commands: luad --help; luad COMMAND --help")
        return
    if topic == "codes":
        _show_codes(out)
        return
    assert isinstance(root.command, click.Group)
    if topic in OLD_NAMES:
        out.warn(f"the topic `{topic}` is now `{OLD_NAMES[topic]}`")
        topic = OLD_NAMES[topic]
    command = root.command.get_command(root, topic)
    if topic in TOPICS:
        out.line(fitted(TOPICS[topic].strip().replace("DATET", f"{example_date()}T"), out.width))
        if command is None:
            return
        out.line("")
    if _CODE.fullmatch(topic.upper()):
        _show_code(out, topic.upper())
        return
    if command is None:
        near = close_to(topic, [*TOPICS, *root.command.list_commands(root)])
        hint = f"did you mean `luad help {near[0]}`?" if near else "luad help lists the topics"
        raise CommandError(f"`{topic}` is not a help topic", code="not_found", hint=hint)
    with command.make_context(topic, [], parent=root, resilient_parsing=True) as inner:
        out.line(command.get_help(inner))
