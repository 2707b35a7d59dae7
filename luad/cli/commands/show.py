"""`luad show`: one job or one run in full.

Rule: it shows jobs and runs, and changes nothing.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.complete import jobs_and_runs
from luad.cli.option_conflicts import Exclusive
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError
from luad.cli.terminal.labels import (
    GLYPHS,
    RUN_GLYPHS,
    condition,
    condition_text,
    error_text,
    pause_text,
    schedule_text_of,
    start_delay,
    state_text,
)
from luad.cli.terminal.output import clean
from luad.cli.terminal.times import parse_rfc3339, show_left, show_took, show_when
from luad.errors import LuadError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luad.cli.session import Session
    from luad.client import Client
    from luad.json_text import JsonObject

NEXT_COUNT: Final = 5
TEXT_TAG: Final = "tag:yaml.org,2002:str"
TAIL: Final = 20
FRAME: Final = re.compile(r'  File "(?P<path>[^"]*)", line \d+')
LIBRARY_FRAME: Final = re.compile(r"/site-packages/|/luad/|/lib/python3\.\d+/|^<")


@click.command(
    "show",
    cls=Command,
    rules=[
        Exclusive("--yaml", "--json"),
        Exclusive("--yaml", "--log"),
        Exclusive("--yaml", "--traceback"),
    ],
)
@click.argument("what", metavar="NAME|RUN", shell_complete=jobs_and_runs)
@click.option("--log", is_flag=True, help="Of a run: the last lines of its log")
@click.option("--yaml", "as_yaml", is_flag=True, help="Of a job: as a job file")
@click.option(
    "--traceback", type=click.Choice(["full", "user", "none"]), default="user",
    help="Frames to show; default: user, without those of luad and libraries",
)  # fmt: skip
@pass_session
def show(session: Session, *, what: str, log: bool, as_yaml: bool, traceback: str) -> None:
    """Show one job or one run in full. RUN is an id, its beginning, @last or @last-failed."""
    from luad.cli.project import source
    from luad.config.secrets import is_masked

    client = connect(session)
    if source.is_run(what):
        try:
            found = source.run(client, what)
        except NotFoundError:
            if what.startswith("@"):
                raise
        else:
            if as_yaml:
                raise CommandError("--yaml is for jobs, and this is a run", code="usage")
            _show_run(session, client, found, log=log, traceback=traceback)
            return
    job = source.job(client, what)
    if log:
        hint = f"luad logs {what}"
        raise CommandError("--log is for runs, and this is a job", code="usage", hint=hint)
    if as_yaml:
        print(job_file(job), end="")
        env = job["definition"].get("env", {})
        if hidden := [name for name, value in env.items() if is_masked(value)]:
            session.out.warn(f"luad shows no secrets; insert the value of {', '.join(hidden)}")
        return
    _show_job(session, client, job, traceback)


def job_file(job: JsonObject) -> str:
    """Return a job as a job file: its definition with its current metadata."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes texts that some YAML version reads as numbers (`1e3`, `0o17`)."""

        def ignore_aliases(self, data: object) -> bool:  # a job file has none
            del data
            return True

    def write_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
        is_word = text[:1].isascii() and text[:1].isalpha()
        return dumper.represent_scalar(TEXT_TAG, text, style=None if is_word else "'")

    Dumper.add_representer(str, write_text)
    Dumper.add_multi_representer(
        dict, yaml.SafeDumper.represent_dict
    )  # the client answers with a subclass of dict
    document = {key: value for key, value in job["definition"].items() if key != "keep"}
    if job.get("metadata"):
        document["metadata"] = job["metadata"]
    first = ("name", "description", "handler", "schedule", "user")
    ordered = {key: document[key] for key in first if key in document}
    # A job file may contain only printable characters, so escape the others.
    is_printable = json.dumps(document, ensure_ascii=False).isprintable()
    text: str = yaml.dump(
        {**ordered, **document},
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=is_printable,
        width=100,
    )
    return text


def _show_run(
    session: Session, client: Client, run: JsonObject, *, log: bool, traceback: str
) -> None:
    from luad.client import segment

    lines = []
    if log:
        path = f"/runs/{segment(run['id'])}/log"
        lines = list(client.stream(path, tail=TAIL))
    if session.json:
        session.out.json({**run, "log": lines} if log else run)
        return
    out = session.out
    glyph, style = RUN_GLYPHS.get(run["status"], ("·", ""))
    took = f" after {show_took(run['duration_ms'])}" if run.get("duration_ms") is not None else ""
    tries = f"   {_attempt_text(run)}"
    out.line(f"{glyph} {run['id']}  {run['job']}   {state_text(run)}{took}{tries}", style)
    _fields(session, _run_fields(session, run))
    _error(session, run.get("error"), traceback)
    if log:
        from luad.cli.terminal.log_lines import LinePrinter

        printer = LinePrinter(session.out, session.zone, has_prefix=False)
        for line in lines:
            printer.write(line)
    else:
        _fields(session, {"log": f"luad logs {run['id']}"})


def _attempt_text(run: JsonObject) -> str:
    """Return the number of the attempt, and of those that the job allows.

    The second number is missing if the job is gone or an edit has lowered it below the first.
    """
    attempt, allowed = run.get("attempt") or 1, run.get("max_attempts") or 0
    return f"attempt {attempt} of {allowed}" if allowed >= attempt else f"attempt {attempt}"


def _creation(session: Session, made: JsonObject) -> str:
    by = f" by {made['author']}" if made.get("author") else ""
    run = f" in {made['run_id']}" if made.get("run_id") else ""
    return f"{_when(session, made.get('at')) or 'at run time'}{by}{run}"


def _user_text(client: Client, user: str | None) -> str:
    """Return the user with the names of the user's channels."""
    from luad.client import segment

    if user is None:
        return ""
    try:
        channels = client.get(f"/users/{segment(user)}")["channels"]
    except NotFoundError:
        return f"{user}   (no such user)"
    except LuadError:  # the daemon cannot answer; show the job without channels
        return user
    return f"{user}   by {', '.join(each['name'] for each in channels) or 'no channel'}"


def _deliveries(run: JsonObject) -> list[str]:
    return [
        f"{each['user_id']} by {each['channel']}: {each['status']}"
        + (f" ({each['error']})" if each["error"] else "")
        for each in run.get("deliveries") or ()
    ]


def _run_fields(session: Session, run: JsonObject) -> dict[str, str]:
    timeline = [
        _when(session, run.get("scheduled_for")),
        f"started {start_delay(run)}" if run.get("started_at") else "",
        f"trigger {run.get('trigger')}",
        f"revision {run['revision']}" if run.get("revision") else "",
    ]
    dropped = run.get("dropped_bytes") or 0
    return {
        "scheduled": "   ".join(part for part in timeline if part),
        "started": _when(session, run.get("started_at")),
        "ended": _when(session, run.get("completed_at")),
        "retries at": _when(session, run.get("retry_at")),
        "retry of": run.get("retry_of") or "",
        "stands for": f"{run['missed_count']} more" if run.get("missed_count") else "",
        "result": _result(run),
        "attempts": ("\n" + " " * 16).join(_attempts(run)),
        "for": run.get("user_id") or "",
        "sent": ("\n" + " " * 16).join(_deliveries(run)),
        "resumed by": ("\n" + " " * 16).join(run.get("resumed_by") or ()),
        "made": " ".join(run.get("created_jobs") or ()),
        "error": error_text(run),
        "not retried": _why_final(run),
        "dropped": f"{dropped} bytes of output" if dropped else "",
        "left running": _left_text(run),
    }


def _result(run: Mapping[str, object]) -> str:
    if run.get("result_omitted"):
        return f"left out: {run['result_omitted']}"
    return "" if run.get("result") is None else json.dumps(run["result"])


def _why_final(run: JsonObject) -> str:
    """Return why no attempt follows although the job allows one."""
    is_final = run.get("retryable") is False and run.get("status") == "failed"
    has_more = (run.get("attempt") or 1) < (run.get("max_attempts") or 1)
    return "another attempt would fail in the same way" if is_final and has_more else ""


def _left_text(run: Mapping[str, object]) -> str:
    """Return the processes and tasks that the handler left running at its end."""
    processes, tasks = run.get("left_processes") or 0, run.get("left_tasks") or 0
    counts = [
        f"{processes} {'process' if processes == 1 else 'processes'}" if processes else "",
        f"{tasks} asyncio {'task' if tasks == 1 else 'tasks'}" if tasks else "",
    ]
    left = " and ".join(count for count in counts if count)
    return f"{left}; luad ended them, and the log names them" if left else ""


def _attempts(run: JsonObject) -> list[str]:
    """Return one line for each attempt; none for a single attempt."""
    attempts = run.get("attempts") or ()
    if len(attempts) < 2:
        return []
    return [
        f"{each['attempt']}  {each.get('ended') or 'open'} after"
        f" {show_took(each.get('duration_ms')) or '?'}  {error_text({**each, 'status': 'failed'})}"
        for each in attempts
    ]


def _show_job(session: Session, client: Client, job: JsonObject, traceback: str) -> None:
    from luad.client import segment

    upcoming = client.get(f"/jobs/{segment(job['id'])}/next", n=NEXT_COUNT)["next"]
    failed = client.get("/runs", job=job["id"], status="failed,timed_out,lost", limit=1)["runs"]
    if session.json:
        last = failed[0] if failed else None
        session.out.json({**job, "next": upcoming, "last_failure": last})
        return
    glyph, style = GLYPHS[condition(job)]
    session.out.line(f"{glyph} {job['name']}   {condition_text(job)}", style)
    user = _user_text(client, job.get("user_id"))
    _fields(session, _job_fields(session, job, upcoming, user))
    if failed:
        at = _when(session, failed[0].get("completed_at"))
        _fields(session, {"last failure": f"{at}   {failed[0]['id']}   {error_text(failed[0])}"})
        _error(session, failed[0].get("error"), traceback)


def _job_fields(
    session: Session, job: JsonObject, upcoming: list[JsonObject], user: str
) -> dict[str, str]:
    file = job.get("file") or {}
    pause = job.get("pause")
    retry = job.get("retry") or {}
    times = [
        show_when(parse_rfc3339(row["at"]) or 0, session.zone, session.now) for row in upcoming
    ]
    stale = "   (now broken; this is its last good version)" if file.get("stale") else ""
    origin = f"{file.get('path')}:{file.get('line', 1)}   revision {job.get('revision')}{stale}"
    return {
        "id": "" if job.get("holds_name", True) else str(job["id"]),
        "gone": _gone_text(session, job),
        "about": job.get("description") or "",
        "handler": job.get("handler") or "",
        "schedule": schedule_text_of(job, session.now, session.zone, has_zone=True),
        "for": user,
        "file": origin if file else "",
        "made": "" if file else _creation(session, job.get("creation") or {}),
        "alert": f"sent because of: {job['alert']['cause']}" if job.get("alert") else "",
        "paused": pause_text(pause, session.now, session.zone) if pause else "",
        "next": ("\n" + " " * 16).join(times),
        "last 20": _stats(job),
        "policy": f"overlap {job.get('overlap')}   catch-up {job.get('catch_up')}"
        f"   timeout {_timeout(job)}   attempts {retry.get('max_attempts', 1)}"
        f"{'   isolation shared' if job.get('isolation') == 'shared' else ''}"
        f"{'' if job.get('queue', 'default') == 'default' else '   queue ' + job['queue']}",
        "open": f"{job.get('running', 0)} running, {job.get('queued', 0)} queued"
        if job.get("running") or job.get("queued")
        else "",
        "tags": " ".join(job.get("tags") or ()),
        "metadata": json.dumps(job["metadata"]) if job.get("metadata") else "",
    }


def _gone_text(session: Session, job: JsonObject) -> str:
    """Return since when a job is gone, so that only its history remains; empty for others."""
    if not job.get("gone_at"):
        return ""
    return f"{job['status']} since {_when(session, job['gone_at'])}; luad history {job['id']}"


def _timeout(job: Mapping[str, object]) -> str:
    limit = job.get("timeout_seconds")
    return "none" if limit is None else f"{limit} s"


def _stats(job: JsonObject) -> str:
    """Return how many of the last runs succeeded, with the 50th and 95th percentile of their duration."""
    ended = [run for run in job.get("recent_runs") or () if run.get("duration_ms") is not None]
    if not ended:
        return ""
    good = sum(run["status"] == "succeeded" for run in ended)
    took = sorted(run["duration_ms"] for run in ended)
    middle, p95 = took[len(took) // 2], took[min(len(took) - 1, len(took) * 95 // 100)]
    return f"{good} of {len(ended)} succeeded   p50 {show_took(middle)}   p95 {show_took(p95)}"


def _fields(session: Session, fields: Mapping[str, str]) -> None:
    for name, text in fields.items():
        if text:
            lines = text.split("\n")
            session.out.line(f"  {session.out.paint(f'{name:<12}', 'dim')}  {clean(lines[0])}")
            for line in lines[1:]:
                session.out.line(line)


def _when(session: Session, text: str | None) -> str:
    at = parse_rfc3339(text)
    if at is None:
        return ""
    return f"{show_when(at, session.zone, session.now)} ({show_left(at, session.now)})"


def _error(session: Session, error: Mapping[str, object] | None, traceback: str) -> None:
    if not error or traceback == "none" or not error.get("traceback"):
        return
    text = str(error["traceback"])
    lines = text.splitlines() if traceback == "full" else user_frames(text)
    for line in lines:
        session.out.line("    " + clean(line), "red")


def user_frames(traceback: str) -> list[str]:
    """Return the traceback without frames of luad and libraries; all of it if no other remains."""
    kept: list[str] = []
    is_kept = True
    for line in traceback.splitlines():
        if frame := FRAME.match(line):
            is_kept = LIBRARY_FRAME.search(frame["path"]) is None
        elif not line.startswith("    "):
            is_kept = True
        if is_kept:
            kept.append(line)
    return kept if any(FRAME.match(line) for line in kept) else traceback.splitlines()
