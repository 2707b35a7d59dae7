"""Hands attempts over to workers through Procrastinate, in the transaction of the caller.

Rule: only public interfaces of Procrastinate, and its tables `procrastinate_jobs` and `procrastinate_events` for
questions. Its rows never decide what a run is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from procrastinate import App, SyncPsycopgConnector
from procrastinate import __version__ as installed_version
from procrastinate.schema import SchemaManager
from sqlalchemy import text

from luad.cluster.bodies import BadBodyError
from luad.cluster.inbox import InboxKind, InboxRow, body_of, event_of
from luad.cluster.reaping import HandOverState, RunningAttempt
from luad.core.events import AttemptEnded
from luad.core.model import Ending, EndKind

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from luad.core.events import StartAttempt, StopAttempt
    from luad.core.model import Instant

TASK: Final = "luad.attempt"
"""The name of the task; its arguments are the id of a run and the number of an attempt."""

_VERSION: Final = "procrastinate"
_CONTRACTED: Final = "procrastinate_post"

_NOTE: Final = text(
    "UPDATE runs SET hand_over = given.hand_over, queue = given.queue,"
    " stop = CASE WHEN CAST(:is_again AS boolean) THEN runs.stop END"
    " FROM unnest(CAST(:ids AS text[]), CAST(:rows AS bigint[]), CAST(:queues AS text[]))"
    " AS given (id, hand_over, queue) WHERE runs.id = given.id"
)
_LATER: Final = text("SELECT clock_timestamp() + make_interval(secs => :seconds)")
_STOP: Final = text(
    "UPDATE runs SET stop = CASE WHEN runs.stop = 'kill' THEN 'kill' ELSE given.stop END"
    " FROM unnest(CAST(:ids AS text[]), CAST(:attempts AS bigint[]), CAST(:stops AS text[]))"
    " AS given (id, attempt, stop)"
    " WHERE runs.id = given.id AND runs.attempt = given.attempt AND runs.state = 'running'"
    " RETURNING runs.id, runs.attempt, runs.hand_over, runs.shard"
)
_REPORT: Final = text(
    "INSERT INTO inbox (shard, kind, body_json, at) VALUES (:shard, :kind, :body_json, :at)"
)
_UNTAKEN: Final = text(
    "SELECT runs.id, runs.attempt, runs.queue FROM runs"
    " JOIN unnest(CAST(:ids AS text[]), CAST(:attempts AS bigint[])) AS given (id, attempt)"
    " ON runs.id = given.id AND runs.attempt = given.attempt"
    " WHERE runs.state = 'running' AND NOT EXISTS (SELECT 1 FROM attempts"
    " WHERE attempts.run_id = runs.id AND attempts.attempt = runs.attempt"
    " AND attempts.worker IS NOT NULL) ORDER BY runs.queue, runs.id"
)
_RUNNING: Final = text(
    "SELECT runs.id, runs.attempt, attempts.worker, workers.seen_at, job.status,"
    " (SELECT CAST(extract(epoch FROM max(event.at)) * 1000 AS bigint)"
    "  FROM procrastinate_events AS event"
    "  WHERE job.status = 'doing' AND event.job_id = job.id AND event.type = 'started') AS doing_since"
    " FROM runs"
    " LEFT JOIN attempts ON attempts.run_id = runs.id AND attempts.attempt = runs.attempt"
    " LEFT JOIN workers ON workers.life = attempts.worker"
    " LEFT JOIN procrastinate_jobs AS job ON job.id = runs.hand_over"
    " WHERE runs.state = 'running' AND runs.shard = ANY(CAST(:shards AS integer[]))"
)
_REPORTS: Final = text(
    "SELECT seq, shard, kind, body_json FROM inbox"
    " WHERE kind = 'report' AND failed_at IS NULL AND shard = ANY(CAST(:shards AS integer[]))"
)
_STATES: Final = {"todo": HandOverState.WAITING, "doing": HandOverState.DOING}


class ProcrastinateHandOver:
    """Hands attempts over, stops them and tells their state; each call blocks, in the caller's transaction."""

    def __init__(self) -> None:
        self._app = App(
            connector=SyncPsycopgConnector()
        )  # never opened: each call brings its connection

    def offer(self, connection: Connection, starts: Sequence[StartAttempt]) -> None:
        """Hand attempts over to the workers of their queues."""
        wanted = [(each.job.queue, each.run.id, each.run.attempt) for each in starts]
        self._defer(connection, sorted(wanted))

    def offer_again(
        self, connection: Connection, attempts: Collection[tuple[str, int]], *, in_s: int = 0
    ) -> None:
        """Hand attempts over again, *in_s* seconds later, that no worker has taken; leave out the others.

        One that is to be stopped stays so: the next worker reports it as cancelled.
        """
        rows = connection.execute(_UNTAKEN, _columns(attempts, "ids", "attempts"))
        wanted = [(row.queue, row.id, row.attempt) for row in rows]
        at = connection.execute(_LATER, {"seconds": in_s}).scalar_one() if in_s else None
        self._defer(connection, wanted, is_again=True, at=at)

    def _defer(
        self,
        connection: Connection,
        wanted: Sequence[tuple[str, str, int]],
        *,
        is_again: bool = False,
        at: datetime | None = None,
    ) -> None:
        noted: list[tuple[str, int, str]] = []
        for queue, group in groupby(wanted, key=lambda each: each[0]):
            attempts: list[dict[str, Any]] = [
                {"run": run_id, "n": attempt} for _, run_id, attempt in group
            ]
            driver = _driver(connection)
            deferrer = self._app.configure_task(
                TASK, queue=queue, connection=driver, schedule_at=at
            )
            ids = deferrer.batch_defer(*attempts)
            noted += [(each["run"], row, queue) for each, row in zip(attempts, ids, strict=True)]
        if noted:
            words = _columns(noted, "ids", "rows", "queues")
            connection.execute(_NOTE, {**words, "is_again": is_again})

    def stop(self, connection: Connection, stops: Sequence[StopAttempt], now: Instant) -> None:
        """Ask the workers to stop attempts; report those that no worker has fetched as cancelled."""
        wanted = [(each.run_id, each.attempt, "kill" if each.kill else "grace") for each in stops]
        if not wanted:
            return
        found = connection.execute(_STOP, _columns(wanted, "ids", "attempts", "stops")).all()
        for row in found:
            if row.hand_over is not None and self.cancel_waiting(connection, row.hand_over):
                ended = AttemptEnded(row.id, row.attempt, Ending(EndKind.CANCELLED, now))
                report = {"shard": row.shard, "kind": InboxKind.REPORT.value}
                connection.execute(_REPORT, {**report, "body_json": body_of(ended), "at": now})
        connection.execute(text("NOTIFY luad_stop"))

    def cancel_waiting(self, connection: Connection, hand_over: int) -> bool:
        """Cancel a row that waits; return False if a worker has fetched it, or it is over."""
        jobs = self._app.job_manager
        return bool(jobs.cancel_job_by_id(hand_over, abort=False, connection=_driver(connection)))

    def running(self, connection: Connection, shards: Collection[int]) -> list[RunningAttempt]:
        """Return the running attempts of *shards*, as one snapshot."""
        rows = connection.execute(_RUNNING, {"shards": list(shards)}).all()
        # After the runs: a report that an owner has taken meanwhile was taken by the caller itself.
        reported = _reported(connection, shards)
        return [
            RunningAttempt(
                row.id,
                row.attempt,
                row.worker,
                row.seen_at,
                _STATES.get(row.status, HandOverState.OVER),
                row.doing_since,
                (row.id, row.attempt) in reported,
            )
            for row in rows
        ]

    def migrate(self, connection: Connection) -> None:
        """Create Procrastinate's tables, or bring them up to the installed version.

        Scripts that drop things run with the next upgrade: workers of the version before may still run.
        """
        query = text("SELECT key, value FROM meta WHERE key IN (:version, :contracted)")
        keys = {"version": _VERSION, "contracted": _CONTRACTED}
        known = {row.key: row.value for row in connection.execute(query, keys)}
        if _VERSION not in known:
            _run(connection, SchemaManager.get_schema())
            contracted = installed_version
        elif _numbers(known[_VERSION]) < _numbers(installed_version):
            contracted = known[_VERSION]
            for script in _scripts("post", known.get(_CONTRACTED, contracted), contracted):
                _run(connection, script)
            for script in _scripts("pre", known[_VERSION], installed_version):
                _run(connection, script)
        else:
            return
        for key, value in ((_VERSION, installed_version), (_CONTRACTED, contracted)):
            connection.execute(_SET_META, {"key": key, "value": value})


_SET_META: Final = text(
    "INSERT INTO meta (key, value) VALUES (:key, :value)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


def _driver(connection: Connection) -> Any:
    """Return psycopg's own connection."""
    return connection.connection.driver_connection


def _reported(connection: Connection, shards: Collection[int]) -> set[tuple[str, int]]:
    """Return the attempts whose end a row of the inbox reports."""
    found: set[tuple[str, int]] = set()
    for row in connection.execute(_REPORTS, {"shards": list(shards)}):
        with suppress(BadBodyError):
            event = event_of(InboxRow(row.seq, row.shard, row.kind, row.body_json))
            if isinstance(event, AttemptEnded):
                found.add((event.run_id, event.attempt))
    return found


def _columns(rows: Collection[Sequence[object]], *names: str) -> dict[str, list[object]]:
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _run(connection: Connection, script: str) -> None:
    with _driver(connection).cursor() as cursor:
        cursor.execute(script)


def _scripts(kind: str, after: str, until: str) -> Iterator[str]:
    """Yield the migrations of *kind* that are newer than the version *after*, up to *until*."""
    for path in sorted(Path(SchemaManager.get_migrations_path()).glob(f"*_{kind}_*.sql")):
        if _numbers(after) < _numbers(path.name.partition("_")[0]) <= _numbers(until):
            yield path.read_text(encoding="utf-8")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
