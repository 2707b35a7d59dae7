"""`luad run`, `retry`, `cancel`: start and stop runs on the daemon.

Rule: it sends requests to the daemon and changes nothing itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from luad.cli.base import Command, pass_session, words
from luad.cli.complete import job_names, run_ids
from luad.cli.option_conflicts import Exclusive, Requires
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import (
    CommandError,
    ExitCode,
    as_problem,
    as_text,
    exit_code_of,
)
from luad.cli.terminal.labels import plural
from luad.cli.terminal.times import parse_duration, parse_when, rfc3339
from luad.errors import LuadError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from luad.cli.session import Session
    from luad.client import Client
    from luad.json_text import JsonObject


def metadata_from(pairs: tuple[str, ...], *, option: str = "-m ") -> JsonObject:
    """Return the values of `K=V` pairs; V is JSON or else text.

    The hint shows *option* before a pair. Raises `CommandError` (usage) for a pair without `=`.
    """
    found: JsonObject = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            lack = "key before the `=`" if sign else "`=`"
            raise CommandError(
                f"`{pair}` has no {lack}", code="usage", hint=f"write it like  {option}region=emea"
            )
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def names_or_tags(session: Session, names: tuple[str, ...], tags: tuple[str, ...]) -> list[str]:
    """Return *names* and the names of the jobs with one of *tags*."""
    from luad.cli.project.source import all_jobs

    if not tags:
        if not names:
            raise CommandError(
                "the name of a job is missing", code="usage", hint="luad list shows all"
            )
        return list(names)
    wanted = set(words(tags))
    jobs = all_jobs(connect(session), tags=sorted(wanted), fields=("name", "tags"))["jobs"]
    tagged = [job["name"] for job in jobs if wanted.intersection(job.get("tags") or ())]
    missing = sorted(wanted.difference(*(job.get("tags") or () for job in jobs)))
    if missing:
        raise CommandError(
            f"no job has the tag {', '.join(missing)}",
            code="not_found",
            hint="luad list -t TAG shows the jobs with a tag",
        )
    return [*names, *(name for name in tagged if name not in names)]


@click.command("run", cls=Command, rules=[Exclusive("--revision", "--tag")])
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=job_names)
@click.option("-m", "--metadata", multiple=True, metavar="K=V", help="Metadata for this run only")
@click.option(
    "--wait", is_flag=True, help="Until it has ended; exit as it did; Ctrl-C leaves it alone"
)
@click.option("-f", "--follow", is_flag=True, help="Show its log meanwhile")
@click.option("--wait-timeout", metavar="DUR", help="Wait no longer (exit 7)")
@click.option("--force", is_flag=True, help="Start even while another run is open")
@click.option("-t", "--tag", "tags", multiple=True, help="All jobs with this tag")
@click.option("--revision", metavar="REV", help="Run an earlier revision of a dynamic job")
@pass_session
def run(
    session: Session,
    *,
    names: tuple[str, ...],
    metadata: tuple[str, ...],
    wait: bool,
    follow: bool,
    wait_timeout: str | None,
    force: bool,
    tags: tuple[str, ...],
    revision: str | None,
) -> int | None:
    """Run a job now on the daemon, independently of its schedule; prints the run's id.

    With --wait or -f the exit code is the run's: 0, 4 failed, 5 cancelled, 7 timed out.
    """
    from luad.client import segment

    body: JsonObject = {"trigger": "manual"}
    if metadata:
        body["metadata"] = metadata_from(metadata)
    if force:
        body["force"] = True
    if revision is not None:
        body["revision"] = revision
    limit = None if wait_timeout is None else parse_duration(wait_timeout)

    def start(client: Client, name: str) -> JsonObject:
        started: JsonObject = client.post(f"/jobs/{segment(name)}/trigger", body)
        return started

    chosen = names_or_tags(session, names, tags)
    return _start_all(session, chosen, start, is_waiting=wait, is_following=follow, limit=limit)


@click.command("retry", cls=Command, rules=[Requires("--since", ("--failed",))])
@click.argument("runs", nargs=-1, metavar="RUN...", shell_complete=run_ids)
@click.option("--failed", is_flag=True, help="Every failed run since --since; asks you first")
@click.option("--since", metavar="WHEN", default="1h", help="With --failed; default: 1h back")
@click.option(
    "--wait", is_flag=True, help="Until it has ended; exit as it did; Ctrl-C leaves it alone"
)
@click.option("-f", "--follow", is_flag=True, help="Show its log meanwhile")
@click.option("--wait-timeout", metavar="DUR", help="Wait no longer (exit 7)")
@pass_session
def retry(
    session: Session,
    *,
    runs: tuple[str, ...],
    failed: bool,
    since: str,
    wait: bool,
    follow: bool,
    wait_timeout: str | None,
) -> int | None:
    """Start a new run for a failed run; RUN is an id, its beginning, @last or @last-failed."""
    from luad.client import segment

    limit = None if wait_timeout is None else parse_duration(wait_timeout)
    chosen = [*runs, *(_failed_since(session, since) if failed else ())]
    if failed and not chosen:
        session.out.info(f"no run has failed since {since}")
        return None
    if not chosen:
        raise CommandError("the run is missing", code="usage", hint="luad retry @last-failed")
    if failed:
        session.confirm(f"Retry {plural(len(chosen), 'run')}?")

    def start(client: Client, text: str) -> JsonObject:
        path = f"/runs/{segment(text)}/retry"
        started: JsonObject = client.post(path, {})
        return started

    return _start_all(session, chosen, start, is_waiting=wait, is_following=follow, limit=limit)


@click.command("cancel", cls=Command)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=run_ids)
@click.option("--kill", is_flag=True, help="Kill it at once, without the grace period")
@pass_session
def cancel(session: Session, *, runs: tuple[str, ...], kill: bool) -> None:
    """Stop a running run; its output stays."""
    from luad.client import segment

    client = connect(session)
    answers = []
    for text in runs:
        answers.append(client.post(f"/runs/{segment(text)}/cancel", {"kill": kill}))
        if not session.json:
            session.out.info(f"stopping {answers[-1]['id']}" + (" at once" if kill else ""))
    if session.json:
        session.out.json({"runs": answers})


def _failed_since(session: Session, since: str) -> list[str]:
    start = rfc3339(parse_when(since, session.zone, session.now, direction=-1))
    answer = connect(session).get("/runs", status="failed,timed_out,lost", since=start, limit=500)
    return [run["id"] for run in answer["runs"]]


def _started(
    session: Session,
    client: Client,
    names: Sequence[str],
    start: Callable[[Client, str], JsonObject],
) -> tuple[list[JsonObject], int]:
    """Start as many runs as can be started; return them, and the exit code of the first refusal.

    A refusal of the only one is raised.
    """
    started: list[JsonObject] = []
    code: int = ExitCode.OK
    for name in names:
        try:
            started.append(start(client, name))
        except LuadError as error:
            if len(names) == 1 or isinstance(error, UnavailableError):
                raise
            code = code or exit_code_of(error)
            _tell_refusal(session, name, error)
        else:
            if not session.json:
                session.out.line(started[-1]["id"])
    return started, code


def _tell_refusal(session: Session, name: str, error: LuadError) -> None:
    if session.json:
        session.out.warn(json.dumps(as_problem(error)))
        return
    first, *rest = as_text(error)
    session.out.warn(f"{name}: {first}", "red")
    for line in rest:
        session.out.warn(line)


def _start_all(
    session: Session,
    names: list[str],
    start: Callable[[Client, str], JsonObject],
    *,
    is_waiting: bool,
    is_following: bool,
    limit: int | None,
) -> int | None:
    from luad.cli import run_watch

    client = connect(session)
    started, code = _started(session, client, names, start)
    if is_waiting or is_following or limit is not None:
        with run_watch.time_limit(limit), run_watch.explained_interrupt(session, started):
            for number, item in enumerate(started):
                look = run_watch.follow(session, client, item) if is_following else item
                ended = run_watch.wait_for(client, look, run_watch.RunWatcher(session))
                started[number] = ended
                code = code or run_watch.show_end(session, ended)
    if session.json:
        session.out.json(started[0] if len(names) == 1 else {"runs": started})
    return code
