"""`luad check`: the problems of all files, each with its place and a fix.

Rule: it parses files with the code of the daemon; it writes files only with --fix.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session, words
from luad.cli.option_conflicts import Exclusive
from luad.cli.terminal.failure import CommandError, ExitCode
from luad.cli.terminal.labels import plural
from luad.cli.terminal.progress import progress
from luad.errors import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.cli.project.examine import CheckResult
    from luad.cli.session import Session
    from luad.errors import Problem

FORMATS: Final = ["full", "concise", "json", "github", "sarif"]
NO_FILE: Final = "warning: {} has no file to check; luad reads *.yaml and *.yml"
HEADLINE: Final = re.compile(r"^LU\d+", re.MULTILINE)


@click.command(
    "check",
    cls=Command,
    rules=[
        Exclusive("--fix", "--diff"),
        Exclusive("--diff", "--format"),
        Exclusive("--diff", "--json"),
    ],
)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    help="The format of the problems; default: full",
)
@click.option("--fix", is_flag=True, help="Apply the safe fixes")
@click.option("--diff", is_flag=True, help="Show the changes of --fix, and write nothing")
@click.option("--no-import", is_flag=True, help="Do not import the handlers")
@click.option("--strict", is_flag=True, help="Warnings fail as well")
@click.option(
    "--select", multiple=True, metavar="CODES", help="Only problems with these codes: LU1,LU203"
)
@click.option(
    "--ignore", multiple=True, metavar="CODES", help="All problems except those with these codes"
)
@click.option("--watch", is_flag=True, help="Check again at each change of a file, until Ctrl-C")
@pass_session
def check(
    session: Session,
    *,
    paths: tuple[str, ...],
    style: str | None,
    fix: bool,
    diff: bool,
    no_import: bool,
    strict: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    watch: bool,
) -> int:
    """Check job files, users files, luad.yaml and handlers; prints file:line:col and fixes.

    PATH is a file or a folder; default: jobs.d, users.d and luad.yaml. Exit 1 if there is an error.
    """
    from luad.cli.project import examine

    if session.json and style not in {None, "json"}:
        raise click.UsageError(f"--format {style} and --json exclude each other")

    def once() -> int:
        with progress(
            session.out, "checking" if no_import else "checking files and importing handlers"
        ):
            examined = examine.examine(session, paths, with_handlers=not no_import, strict=strict)
        examined.keep(_codes(select), _codes(ignore))
        if diff:
            return _show_fixes(session, examined)
        if fix and (written := examine.write_fixes(examined)):
            for change in examine.changes_made(examined, written):
                session.out.info(change)
            session.out.info(f"fixed {plural(len(written), 'file')}", "green")
            examined = examine.examine(session, paths, with_handlers=not no_import, strict=strict)
            examined.keep(_codes(select), _codes(ignore))
        _show(session, examined, style or ("json" if session.json else "full"))
        if paths and not examined.file_count:
            session.out.warn(NO_FILE.format(" ".join(paths)), "yellow")
        return _exit_code(examined.problems, strict=strict)

    _refuse_selection(_codes(select), _codes(ignore))
    code = once()
    if watch:
        for has_changed in examine.changes(session, paths):
            if has_changed:
                code = once()
            else:
                session.out.info("waiting for changes; Ctrl-C ends it", "dim")
    return code


def _refuse_selection(select: Sequence[str], ignore: Sequence[str]) -> None:
    """Raise `CommandError` (usage) if no problem could be shown: the check would always succeed."""
    from luad.config.problems import CODES

    for code in (*select, *ignore):
        if not any(known.startswith(code) for known in CODES):
            hint = "luad help codes lists them"
            raise CommandError(f"no problem has the code `{code}`", code="usage", hint=hint)
    if select and not any(
        known.startswith(tuple(select)) and not (ignore and known.startswith(tuple(ignore)))
        for known in CODES
    ):
        message = "--ignore leaves nothing of what --select chooses"
        raise CommandError(message, code="usage", hint="leave out one of the two")


def _codes(values: Sequence[str]) -> tuple[str, ...]:
    codes = tuple(word.upper() for word in words(values))
    for code in codes:
        if not re.fullmatch(r"LU\d{0,3}", code):
            raise CommandError(
                f"`{code}` is not a problem code", code="usage", hint="write it like  LU1  LU203"
            )
    return codes


def _exit_code(problems: Sequence[Problem], *, strict: bool) -> int:
    is_bad = any(strict or each.severity is Severity.ERROR for each in problems)
    return ExitCode.ERROR if is_bad else ExitCode.OK


def _show(session: Session, examined: CheckResult, style: str) -> None:
    from luad import __version__
    from luad.config import problems as render

    problems, out = examined.problems, session.out
    match style:
        case "json":
            print(render.render_json(problems))
        case "sarif":
            print(render.render_sarif(problems, version=__version__))
        case "github":
            print(render.render_github(problems), end="")
        case "concise":
            print(out.plain(render.render_concise(problems)), end="")
        case _:
            text = out.plain(render.render_full(problems))
            print(HEADLINE.sub(lambda found: out.paint(found[0], "red"), text), end="")
    sys.stdout.flush()
    if style in {"full", "concise"}:
        if problems and style == "full":
            out.info("")
        out.info(_summary(examined), "" if problems else "green")


def _summary(examined: CheckResult) -> str:
    problems = examined.problems
    errors = [each for each in problems if each.severity is Severity.ERROR]
    broken = {each.path for each in errors}
    good = max(0, examined.file_count - len(broken))
    head = f"Checked {plural(examined.file_count, 'file')}: {good} ok"
    if not problems:
        return f"{head}, no problems."
    files = plural(len({each.path for each in problems}), "file")
    counts = f"{plural(len(errors), 'error')}, {plural(len(problems) - len(errors), 'warning')}"
    text = f"{head}, {counts} in {files}."
    fixable = sum(each.fix is not None for each in problems)
    return f"{text}  {fixable} fixable with --fix." if fixable else text


def _show_fixes(session: Session, examined: CheckResult) -> int:
    """Print the changes that --fix would make; return exit code 1 if there are any, as formatters do."""
    from difflib import unified_diff

    from luad.cli.project.examine import fixed_files

    has_changes = False
    for path, (before, after) in fixed_files(examined).items():
        has_changes = True
        old, new = (
            data.decode("utf-8", "replace").splitlines(keepends=True) for data in (before, after)
        )
        for line in unified_diff(old, new, path, path):
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[0], "")
            session.out.line(line.rstrip("\n"), style)
    return ExitCode.ERROR if has_changes else ExitCode.OK
