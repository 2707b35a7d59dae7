"""`luad status`: the state of the daemon.

Rule: it shows the status and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import ExitCode
from luad.cli.terminal.labels import plural
from luad.cli.terminal.output import clean
from luad.cli.terminal.times import parse_rfc3339, show_exact, show_left, show_when

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.cli.terminal.output import Output
    from luad.json_text import JsonObject

LEAD: Final = 16
"""The columns before the text of a field."""


@click.command("status", cls=Command)
@click.option(
    "--exit-status", is_flag=True, help="Exit 1 if the daemon is degraded (always 11 if it is down)"
)
@pass_session
def status(session: Session, *, exit_status: bool) -> int | None:
    """Show the state of the daemon: version, jobs, runs, last reload, store, problems."""
    answer = connect(session, timeout=10).get("/status")
    is_well = answer.get("status") == "ok"
    if session.json:
        session.out.json(answer)
    else:
        _show(session, answer, is_well=is_well)
    return ExitCode.ERROR if exit_status and not is_well else None


def _show(session: Session, answer: JsonObject, *, is_well: bool) -> None:
    out = session.out
    glyph, style = ("✓", "green") if is_well else ("!", "yellow")
    uptime = show_exact(int((answer.get("uptime_seconds") or 0) * 1000))
    draining = "   draining" if answer.get("draining") else ""
    head = f"{glyph} {answer.get('status')}   luad {answer.get('version')}"
    for line in out.wrapped(f"{head}   pid {answer.get('pid')}   up {uptime}{draining}", 2):
        out.line(line, style)
    for name, text in _fields(session, answer).items():
        if text:
            _field(out, name, text, "dim")
    for each in answer.get("self_deleted") or ():
        text = f"{each['job']}: {each['reason']}  (luad resume {each['job']})"
        _field(out, "paused", text, "yellow")
    for problem in answer.get("problems") or ():
        text = problem if isinstance(problem, str) else _problem_text(problem)
        _field(out, "problem", text, "yellow")
        help_text = "" if isinstance(problem, str) else problem.get("help")
        if help_text:
            _field(out, "", f"help: {help_text}", "")


def _field(out: Output, name: str, text: str, style: str) -> None:
    """Write a field; on a terminal the text wraps below itself, not below its name."""
    first, *rest = out.wrapped(clean(text), 0, LEAD)
    out.line(f"  {out.paint(f'{name:<12}', style)}  {first}")
    for line in rest:
        out.line(" " * LEAD + line)


def _fields(session: Session, answer: JsonObject) -> dict[str, str]:
    jobs, runs = answer.get("jobs") or {}, answer.get("runs") or {}
    store, reload = answer.get("store") or {}, answer.get("last_reload") or {}
    notable = [
        f"{jobs[word]} {word}"
        for word in ("active", "paused", "failing", "stale", "completed")
        if jobs.get(word)
    ]
    size = (store.get("size_bytes") or 0) / 1e6
    writable = "" if store.get("writable", True) else "   NOT WRITABLE: nothing new starts"
    lag = answer.get("event_loop_lag_ms")
    return {
        "node": _node_text(answer.get("node")),
        "worker": _worker_text(answer.get("worker")),
        "jobs": f"{jobs.get('total', 0)}: {', '.join(notable)}" if notable else "none",
        "runs": f"{runs.get('running', 0)} running, {runs.get('queued', 0)} queued"
        f"   (at most {answer.get('max_concurrent_runs')} at once)",
        "last reload": _reload_text(session, reload),
        "store": f"{store.get('path')}   {size:.1f} MB   {store.get('runs', 0)} runs{writable}",
        "loop lag": "" if lag is None else f"{lag:g} ms",
        "socket": str(answer.get("socket") or ""),
        "tcp": str(answer.get("listen") or ""),
        "jobs from": "  ".join(answer.get("jobs_dirs") or ()),
        "systemd": "" if answer.get("systemd") is None else ("yes" if answer["systemd"] else "no"),
    }


def _node_text(node: JsonObject | None) -> str:
    """Return the part of a node in its cluster; empty for a daemon that is alone."""
    if node is None:
        return ""
    others = plural(node.get("other_nodes") or 0, "other node")
    text = f"{node.get('name')}   decides for {plural(node.get('shards') or 0, 'shard')}   {others}"
    if not node.get("in_touch", True):
        return f"{text}   OUT OF TOUCH with the store"
    return f"{text}   BEHIND: other nodes have newer files" if node.get("behind") else text


def _worker_text(worker: JsonObject | None) -> str:
    """Return the part of a worker that is alone; empty for a daemon that decides."""
    if worker is None:
        return ""
    queues = ", ".join(worker.get("queues") or ())
    text = f"{worker.get('name')}   starts runs of {queues}   {worker.get('running') or 0} running"
    return text if worker.get("in_touch", True) else f"{text}   OUT OF TOUCH with the store"


def _reload_text(session: Session, reload: JsonObject) -> str:
    at = parse_rfc3339(reload.get("at"))
    if at is None:
        return "none yet"
    when = f"{show_when(at, session.zone, session.now)} ({show_left(at, session.now)})"
    problems = reload.get("problems") or 0
    result = "ok" if reload.get("ok", True) else plural(problems, "problem")
    return f"{when}   {plural(reload.get('files') or 0, 'file')}   {result}"


def _problem_text(problem: JsonObject) -> str:
    place = problem.get("filename") or problem.get("path") or ""
    location = problem.get("location") or {}
    line = location.get("row") or problem.get("line")
    column = location.get("column") or problem.get("column")
    where = ":".join(str(part) for part in (place, line, column) if part)
    text = f"{problem.get('code') or ''} {problem.get('message') or problem.get('detail') or ''}"
    return f"{where} {text}".strip()
