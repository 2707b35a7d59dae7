"""`luad systemd print`: the systemd unit and its files, for a machine without a checkout.

Rule: it copies the shipped files with the path of this luad; it installs nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.terminal.failure import CommandError, ExitCode

if TYPE_CHECKING:
    from luad.cli.session import Session

ACTIONS: Final = ("print",)
FILES: Final = (
    "luad.service",
    "luad.socket",
    "luad-worker.service",
    "luad.service.d/hardened.conf",
    "sysusers.d/luad.conf",
    "tmpfiles.d/luad.conf",
)
SHIPPED_PROGRAM: Final = "/opt/luad/bin/luad"
HIDDEN: Final = {
    "root": "ProtectHome",
    "home": "ProtectHome",
    "run/user": "ProtectHome",
    "tmp": "PrivateTmp",
    "var/tmp": "PrivateTmp",
}
"""Folders that the sandbox of the unit hides, and the setting that hides each."""


@click.command("systemd", cls=Command)
@click.argument("action", type=click.Choice(ACTIONS), default="print")
@click.option(
    "--out", "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Write all files to DIR; default: print only the unit",
)  # fmt: skip
@click.option("--force", is_flag=True, help="With --out: overwrite files that differ")
@pass_session
def systemd(session: Session, *, action: str, folder: Path | None, force: bool) -> int:
    """Print the systemd unit of luad; with --out DIR write all files that belong to it.

    The unit names the program that runs this command. Each file says how it is installed.
    A file in DIR that differs stays as it is, and the exit status is 8; --force overwrites it.
    """
    del action  # `print` is the only one
    if force and folder is None:
        raise CommandError(
            "--force has no meaning without --out", code="usage", hint="add --out DIR"
        )
    program = program_path()
    for line in warnings_about(program, str(Path(sys.executable).resolve())):
        session.out.warn(line, "yellow")
    if folder is None:
        print(text_of("luad.service", program), end="")
        return ExitCode.OK
    written: list[str] = []
    kept: list[str] = []
    for name in FILES:
        path, text = folder / name, text_of(name, program)
        must_stay = not force and _differs(path, text)
        (kept if must_stay else written).append(str(path))
        if not must_stay:
            _write(path, text)
    _tell(session, written, kept)
    return ExitCode.CONFLICT if kept else ExitCode.OK


def _tell(session: Session, written: list[str], kept: list[str]) -> None:
    for each in kept:
        session.out.warn(
            f"kept {each}: it differs from the file of this luad  (--force overwrites it)", "yellow"
        )
    if session.json:
        session.out.json({"written": written, "kept": kept})
    elif written:
        session.out.info("wrote " + "  ".join(written))


def warnings_about(program: str, python: str) -> list[str]:
    """Return a warning for each of the two files that the sandbox of the unit hides."""
    lines = []
    for path in dict.fromkeys((program, python)):
        setting = next((HIDDEN[each] for each in HIDDEN if path.startswith(f"/{each}/")), None)
        if setting is not None:
            lines.append(
                f"warning: the service cannot see {path} ({setting}), and will not start;"
                " install luad in a venv in /opt/luad, with a Python in /usr"
            )
    return lines


def text_of(name: str, program: str) -> str:
    """Return the shipped file *name*, with *program* for luad."""
    package = Path(__file__).parents[2]
    inside, beside = package / "systemd" / name, package.parent / "systemd" / name
    path = inside if inside.exists() else beside  # installed, or in a checkout
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"this installation of luad lacks {name}",
            hint="install luad again from a checkout: pip install .",
        ) from error
    return text.replace(SHIPPED_PROGRAM, program)


def program_path() -> str:
    """Return the absolute path of the luad that runs now."""
    beside = Path(sys.executable).parent / "luad"
    return str(beside) if os.access(beside, os.X_OK) else SHIPPED_PROGRAM


def _differs(path: Path, text: str) -> bool:
    """Return True if *path* exists with another text."""
    try:
        return path.read_bytes() != text.encode()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot read {path}: {reason}") from error


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot write {path}: {reason}") from error
    return path
