"""`luad logs`: the logs of jobs and runs.

Rule: it shows lines and changes nothing. It resumes a broken stream.
"""

from __future__ import annotations

import re
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.complete import jobs_and_runs
from luad.cli.option_conflicts import Exclusive
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.log_lines import LinePrinter
from luad.cli.terminal.times import parse_when, rfc3339
from luad.client import StreamBrokenError
from luad.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luad.cli.session import Session
    from luad.client import Client
    from luad.json_text import JsonObject

LEVELS: Final = ["debug", "info", "warning", "error", "critical"]
ALL_LOGS: Final = "/logs"
MAX_TAIL: Final = 10_000
"""The lines that --grep searches: the daemon sends no more of a log at once."""

FIRST_WAIT_SECONDS: Final = 0.25
LAST_WAIT_SECONDS: Final = 5.0


@click.command(
    "logs",
    cls=Command,
    rules=[
        Exclusive("--failed", "--follow"),
        Exclusive("--raw", "--json"),
        Exclusive("--no-prefix", "--json"),
    ],
)
@click.argument("what", metavar="[NAME|RUN]", required=False, shell_complete=jobs_and_runs)
@click.option("-f", "--follow", is_flag=True, help="Follow the log until Ctrl-C")
@click.option(
    "-n", "count", type=click.IntRange(0), default=100, help="How many lines, the last ones (100)"
)
@click.option("--since", metavar="WHEN", help="A time, or a duration back from now")
@click.option("--level", type=click.Choice(LEVELS), help="Only lines of this level and above")
@click.option("--grep", "pattern", metavar="RE", help="Only lines that match this pattern")
@click.option("--failed", is_flag=True, help="Only logs of failed runs")
@click.option("--raw", is_flag=True, help="Only the message, unchanged")
@click.option("--no-prefix", is_flag=True, help="Without time, level and job")
@pass_session
def logs(
    session: Session,
    *,
    what: str | None,
    follow: bool,
    count: int,
    since: str | None,
    level: str | None,
    pattern: str | None,
    failed: bool,
    raw: bool,
    no_prefix: bool,
) -> None:
    """Show logs of a job, of a run (id, @last, @last-failed), or of all jobs.

    With -f NAME it follows all runs, with a heading for each, also after a restart of the daemon.
    """
    client = connect(session)
    path, query = _address(what)
    if failed and path != ALL_LOGS:
        raise click.UsageError("--failed selects runs of a job, and this is a run")
    query["level"] = level
    if since is not None:
        query["since"] = rfc3339(parse_when(since, session.zone, session.now, direction=-1))
    is_wanted = _sieve(pattern, level)
    printer = LinePrinter(session.out, session.zone, has_prefix=not (raw or no_prefix), is_raw=raw)
    if failed:
        lines = _of_failed_runs(client, query, count if pattern is None else MAX_TAIL)
    elif follow:
        lines = _follow(session, client, path, {**query, "tail": count})
    else:
        lines = client.stream(path, tail=count if pattern is None else MAX_TAIL, **query)
    wanted = filter(is_wanted, lines)
    shown = 0
    for line in wanted if follow else deque(wanted, maxlen=count):
        printer.write(line)
        shown += 1
    if not shown:
        session.out.info("no such lines" if level or pattern or since else "no lines", "dim")


def _address(what: str | None) -> tuple[str, dict[str, object]]:
    """Return the path and the query of the request for the lines of *what*."""
    from luad.cli.project import source
    from luad.client import named, segment

    if what is None:
        return ALL_LOGS, {}
    if source.is_run(what):
        return f"/runs/{segment(what)}/log", {}
    return ALL_LOGS, {"job": named(what)}


def _sieve(pattern: str | None, level: str | None) -> Callable[[JsonObject], bool]:
    try:
        regex = None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise click.UsageError(f"--grep: {error}") from error
    lowest = 0 if level is None else LEVELS.index(level)

    def is_wanted(line: dict[str, object]) -> bool:
        name = str(line.get("level") or "info").lower()
        rank = LEVELS.index(name) if name in LEVELS else 1
        return rank >= lowest and (
            regex is None or regex.search(str(line.get("message", ""))) is not None
        )

    return is_wanted


def _of_failed_runs(client: Client, query: JsonObject, count: int) -> Iterator[JsonObject]:
    from luad.client import segment

    runs = client.get(
        "/runs",
        job=query.get("job"),
        since=query.get("since"),
        status="failed,timed_out,lost",
        limit=20,
    )["runs"]
    for run in reversed(runs):
        yield from client.stream(f"/runs/{segment(run['id'])}/log", tail=count)


class _Once:
    """Drops the lines that the daemon repeats after a resumed stream."""

    def __init__(self) -> None:
        self.last_ts: str | None = None
        self._lines: list[JsonObject] = []

    def is_new(self, line: JsonObject) -> bool:
        """Return True unless *line* repeats an earlier one of the same instant."""
        if line.get("ts") != self.last_ts:
            self.last_ts, self._lines = line.get("ts"), []
        elif line in self._lines:
            return False
        self._lines.append(line)
        return True


def _follow(
    session: Session, client: Client, path: str, query: dict[str, object]
) -> Iterator[dict[str, object]]:
    """Yield lines until the run ends; without end for a job or all jobs.

    After a break the stream resumes at the last instant. Raises `UnavailableError` if no daemon answers at
    the start.
    """
    once = _Once()
    wait = 0.0  # seconds; 0 until a break, and again once lines come
    while True:
        try:
            for line in client.stream(path, follow=True, **query):
                if wait:
                    session.out.info("connected again", "dim")
                    wait = 0.0
                if once.is_new(line):
                    yield line
            if path != ALL_LOGS:
                return
            reason = f"luad at {client.address} has ended"
        except UnavailableError as error:
            if not (wait or isinstance(error, StreamBrokenError)):
                raise
            reason = error.message
        if not wait:
            session.out.info(f"{reason}; waiting for the daemon", "dim")
        wait = min(2 * wait or FIRST_WAIT_SECONDS, LAST_WAIT_SECONDS)
        time.sleep(wait)
        if once.last_ts is not None:
            query = {**query, "since": once.last_ts, "tail": None}
