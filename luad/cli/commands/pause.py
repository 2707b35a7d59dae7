"""`luad pause` and `resume`: stop and restart the schedule of a job.

Rule: it sends requests to the daemon and changes nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luad.cli.base import Command, pass_session
from luad.cli.commands.run import names_or_tags
from luad.cli.complete import job_names
from luad.cli.option_conflicts import Exclusive
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.labels import next_run_text, pause_text, plural
from luad.cli.terminal.times import parse_rfc3339, parse_when, rfc3339, show_when

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.json_text import JsonObject


@click.command(
    "pause", cls=Command, rules=[Exclusive("--all", "names"), Exclusive("--all", "--tag")]
)
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=job_names)
@click.option("--reason", default="", metavar="TEXT", help="The reason, which list and show print")
@click.option("--until", metavar="WHEN", help="A time, or a duration from now")
@click.option("-t", "--tag", "tags", multiple=True, help="All jobs with this tag")
@click.option("--all", "is_all", is_flag=True, help="All jobs; asks first")
@pass_session
def pause(
    session: Session,
    *,
    names: tuple[str, ...],
    reason: str,
    until: str | None,
    tags: tuple[str, ...],
    is_all: bool,
) -> None:
    """Stop scheduling a job; it stays installed, and its occurrences are skipped with the reason."""
    end = None if until is None else _end(session, until)
    if end is not None and end <= session.now:
        moment = show_when(end, session.zone, session.now)
        raise click.UsageError(f"--until {until} is {moment}, which is in the past")
    body: JsonObject = {"reason": reason}
    if end is not None:
        body["until"] = rfc3339(end)
    chosen = _chosen(session, names, tags, is_all=is_all, question="Pause all")
    for job in _post(session, chosen, "deactivate", body):
        words = pause_text(job.get("pause") or {}, session.now, session.zone)
        session.out.info(f"{job['name']} is {words}")


def _end(session: Session, until: str) -> int:
    from luad.cli.due_options import is_plain, read_by_daemon

    if is_plain(until):
        return parse_when(until, session.zone, session.now)
    zone = session.tz or ("UTC" if session.utc else None)
    return parse_rfc3339(read_by_daemon(connect(session), until, zone, None)) or 0


@click.command(
    "resume", cls=Command, rules=[Exclusive("--all", "names"), Exclusive("--all", "--tag")]
)
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=job_names)
@click.option(
    "--catch-up", type=click.Choice(["none", "one", "all"]), default="none",
    help="Which of the skipped occurrences run now; default: none",
)  # fmt: skip
@click.option("-t", "--tag", "tags", multiple=True, help="All jobs with this tag")
@click.option("--all", "is_all", is_flag=True, help="All jobs; asks first")
@pass_session
def resume(
    session: Session,
    *,
    names: tuple[str, ...],
    catch_up: str,
    tags: tuple[str, ...],
    is_all: bool,
) -> None:
    """Schedule a paused job again."""
    chosen = _chosen(session, names, tags, is_all=is_all, question="Resume all")
    for job in _post(session, chosen, "activate", {"catch_up": catch_up}):
        missed = job.get("skipped_while_paused")
        skipped = f"; {plural(missed, 'occurrence')} skipped meanwhile" if missed else ""
        words = next_run_text(job, session.now, session.zone)
        session.out.info(f"{job['name']} is active; next run {words}{skipped}")


def _chosen(
    session: Session, names: tuple[str, ...], tags: tuple[str, ...], *, is_all: bool, question: str
) -> list[str]:
    if not is_all:
        return names_or_tags(session, names, tags)
    from luad.cli.project.source import all_jobs

    jobs = [job["name"] for job in all_jobs(connect(session), fields=("name",))["jobs"]]
    session.confirm(f"{question} {plural(len(jobs), 'job')}?")
    return jobs


def _post(session: Session, names: list[str], action: str, body: JsonObject) -> list[JsonObject]:
    """Request *action* for each job; return the changed jobs (none with --json)."""
    from luad.client import segment

    client = connect(session)
    jobs = [client.post(f"/jobs/{segment(name)}/{action}", body) for name in names]
    if session.json:
        session.out.json(jobs[0] if len(jobs) == 1 else {"jobs": jobs})
        return []
    return jobs
