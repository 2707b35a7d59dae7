"""`luad systemd print`: the unit and what belongs to it, for a machine without a checkout.

Room rule: copies what ships, with the path of this luad; installs nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.failure import CommandError

if TYPE_CHECKING:
    from luad.cli.session import Session

ACTIONS: Final = ("print",)
FILES: Final = (
    "luad.service",
    "luad.socket",
    "luad.service.d/hardened.conf",
    "sysusers.d/luad.conf",
    "tmpfiles.d/luad.conf",
)
SHIPPED_PROGRAM: Final = "/opt/luad/bin/luad"
HIDDEN: Final = ("/root/", "/home/")


@click.command("systemd", cls=Command)
@click.argument("action", type=click.Choice(ACTIONS), default="print")
@click.option(
    "--out", "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Write all files there; without it the unit alone is printed",
)  # fmt: skip
@pass_session
def systemd(session: Session, *, action: str, folder: Path | None) -> None:
    """Print the systemd unit of luad; with --out DIR write all files that belong to it.

    The unit names the program that runs this command. Each file says how it is installed.
    """
    del action  # there is one
    program = program_path()
    if program.startswith(HIDDEN):
        session.out.complain(
            f"note: the service cannot see {program} (ProtectHome); install luad in /opt/luad",
            "yellow",
        )
    if folder is None:
        print(text_of("luad.service", program), end="")
        return
    written = [str(_write(folder / name, text_of(name, program))) for name in FILES]
    if session.json:
        session.out.json({"written": written})
    else:
        session.out.say("wrote " + "  ".join(written))


def text_of(name: str, program: str) -> str:
    """Return the shipped file *name*, with *program* for luad."""
    package = Path(__file__).parents[1]
    inside, beside = package / "systemd" / name, package.parent / "systemd" / name
    path = inside if inside.exists() else beside  # installed, or in a checkout
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"this luad came without {name}", hint="install luad again: pip install luad"
        ) from error
    return text.replace(SHIPPED_PROGRAM, program)


def program_path() -> str:
    """Return the absolute path of the luad that runs now."""
    beside = Path(sys.executable).parent / "luad"
    return str(beside) if os.access(beside, os.X_OK) else SHIPPED_PROGRAM


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot write {path}: {reason}") from error
    return path
