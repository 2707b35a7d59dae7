"""`luad reload`: read the job files again now, and print the changes.

Rule: it sends a request to the daemon and changes nothing itself. systemd runs it as ExecReload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.commands.status import _problem_text
from luad.cli.option_conflicts import Exclusive
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import ExitCode
from luad.cli.terminal.labels import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from luad.cli.session import Session
    from luad.json_text import JsonObject

TIMEOUT_SECONDS: Final = 60.0
"""The time-out of the request: ten thousand files take seconds; systemd gives a reload 90 s."""


@click.command("reload", cls=Command, rules=[Exclusive("--check-only", "--publish")])
@click.option("--check-only", is_flag=True, help="Show the changes, and make none")
@click.option("--publish", is_flag=True, help="Put the files of this node in force on all nodes")
@pass_session
def reload(session: Session, *, check_only: bool, publish: bool) -> int | None:
    """Read the job files again now: + new, ~ changed, - removed, ! broken.

    On a cluster it reads the files of the node that answers, and waits some seconds for the other nodes.
    With --publish the files of this node replace newer ones of other nodes, which are then behind.

    Exit 1 if a file is broken, so that its last good version stays installed, or if the files of this node are
    not those in force, so that nothing changes.
    """
    client = connect(session, timeout=TIMEOUT_SECONDS)
    body = {"check_only": check_only, **({"publish": True} if publish else {})}
    answer = client.post("/config/reload", body)
    if session.json:
        session.out.json(answer)
    else:
        _show(session, answer, check_only=check_only)
    is_broken = bool(answer.get("stale")) or any(map(_is_error, answer.get("problems") or ()))
    return ExitCode.ERROR if is_broken or not answer.get("in_force", True) else None


def _is_error(problem: Mapping[str, object]) -> bool:
    return str(problem.get("severity", "error")) == "error"


def _show(session: Session, answer: JsonObject, *, check_only: bool) -> None:
    out = session.out
    for name in answer.get("added") or ():
        out.line(f"+ {name}", "green")
    for item in answer.get("replaced") or ():
        changes = ", ".join(item.get("changes") or ())
        out.line(f"~ {item['name']}" + (f" ({changes})" if changes else ""), "yellow")
    for name in answer.get("removed") or ():
        out.line(f"- {name}", "red")
    for item in answer.get("stale") or ():
        out.line(f"! {_stale_text(item, answer.get('problems') or ())}", "yellow")
    for problem in answer.get("problems") or ():
        out.warn(f"{'error' if _is_error(problem) else 'warning'}: {_problem_text(problem)}")
        if problem.get("help"):
            out.warn(f"  help: {problem['help']}")
    _show_nodes(session, answer)
    counts = {word: len(answer.get(word) or ()) for word in ("added", "replaced", "removed")}
    counts["kept"] = answer.get("kept") or 0
    changed = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no jobs"
    stale = answer.get("stale") or ()
    broken = f"; {plural(len(stale), 'broken file')} kept as before" if stale else ""
    out.info(f"{'would be: ' if check_only else ''}{changed}{broken}", "dim")


def _show_nodes(session: Session, answer: JsonObject) -> None:
    names = ", ".join(map(str, answer.get("nodes_behind") or ()))
    if not answer.get("in_force", True):
        session.out.warn("error: other nodes have newer files, so nothing changes", "red")
        session.out.warn(
            "  help: copy their files to this node, or put its own in force:  luad reload --publish"
        )
    if names:
        session.out.warn(f"warning: these nodes have other files: {names}", "yellow")
        session.out.warn("  help: jobs that they decide for change once their files are the same")


def _stale_text(path: str, problems: Iterable[Mapping[str, object]]) -> str:
    errors = sum(_is_error(each) and each.get("filename") == path for each in problems)
    return f"{path} ({plural(errors, 'error')}, kept as before)"
