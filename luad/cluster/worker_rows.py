"""The statements of a worker: it takes attempts, gives signs of life, reads stops, and reports.

Rule: an attempt is taken by one worker, with a row that only one can write. The job's row is locked before the run's,
as its owner does.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, text

from luad.cluster.inbox import InboxKind, Report, body_of
from luad.cluster.procrastinate_queue import ProcrastinateHandOver
from luad.config.jobs.stored_jobs import job_from_store
from luad.core.events import StartAttempt
from luad.core.model import Ending, EndKind, RunError, RunState
from luad.core.overlays import lay_over
from luad.core.values import replace
from luad.store.columns import read_run
from luad.store.job_rows import COLUMNS, read_job
from luad.store.tables import jobs, runs

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from luad.core.events import StoredJob
    from luad.core.model import Instant, Job, Run

PUT_BACK_FOR_S: Final = 5
PUT_BACK_WITHIN_MS: Final = 60_000

_REGISTER: Final = text(
    "INSERT INTO workers (life, name, node, queues_json, code_digest, version, started_at, seen_at)"
    " SELECT :life, :name, :node, :queues_json, :code_digest, :version, moment.ms, moment.ms"
    " FROM (SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) AS ms) AS moment"
    " ON CONFLICT (life) DO UPDATE SET seen_at = excluded.seen_at,"
    " code_digest = excluded.code_digest RETURNING seen_at"
)
_JOB: Final = text("SELECT job_id FROM jobs WHERE job_id = :job_id FOR KEY SHARE")
_TAKE: Final = text(
    "INSERT INTO attempts (run_id, attempt, worker, code_digest, started_at)"
    " VALUES (:run_id, :attempt, :life, :code_digest, :now)"
    " ON CONFLICT (run_id, attempt) DO UPDATE SET worker = excluded.worker,"
    " code_digest = excluded.code_digest, started_at = coalesce(attempts.started_at, excluded.started_at)"
    " WHERE attempts.worker IS NULL RETURNING worker"
)
_PUT_BACK: Final = text(
    "UPDATE attempts SET worker = NULL WHERE run_id = :run_id AND attempt = :attempt AND worker = :life"
    " AND started_at > extract(epoch FROM clock_timestamp()) * 1000 - :within"
    " AND (SELECT value FROM meta WHERE key = 'code_digest') <> :code_digest"
)
_HOLDS: Final = text(
    "SELECT 1 FROM attempts WHERE run_id = :run_id AND attempt = :attempt AND worker = :life"
)
_REVISION: Final = text(
    "SELECT definition_json FROM revisions WHERE job_id = :job_id AND revision = :revision"
)
_NEXT_LINE: Final = text(
    "SELECT coalesce(max(seq + line_count), 1) FROM run_logs WHERE run_id = :run_id"
)
_HELD: Final = text(
    "SELECT given.id, given.attempt, runs.stop, runs.state = 'running' AS is_running"
    " FROM unnest(CAST(:ids AS text[]), CAST(:attempts AS bigint[])) AS given (id, attempt)"
    " LEFT JOIN runs ON runs.id = given.id AND runs.attempt = given.attempt"
)
_OLDEST: Final = text(
    "SELECT min(id) FROM procrastinate_jobs WHERE status = 'todo'"
    " AND queue_name = ANY(CAST(:queues AS text[]))"
    " AND (scheduled_at IS NULL OR scheduled_at <= now())"
)
_REPORT: Final = text(
    "INSERT INTO inbox (shard, kind, body_json, at) VALUES (:shard, :kind, :body_json, :at)"
)
_LINES: Final = text(
    "INSERT INTO run_logs (run_id, seq, line_count, first_at, last_at, byte_count, lines_json)"
    " SELECT id, :seq, :b_line_count, :b_first_at, :b_last_at, :b_byte_count, :b_lines_json"
    " FROM runs WHERE id = :b_run_id ON CONFLICT (run_id, seq) DO NOTHING"
)
_LEFT: Final = text(
    "SELECT attempts.run_id FROM attempts JOIN runs ON runs.id = attempts.run_id"
    " AND runs.attempt = attempts.attempt WHERE attempts.worker = :life AND runs.state = 'running'"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A life of a worker, as it registers. *node*: the node that it is a part of."""

    life: str
    name: str
    queues: tuple[str, ...]
    version: str
    node: str | None = None
    code_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """An attempt that this worker executes. *stored*: its job; *next_line*: the number of its first line."""

    start: StartAttempt
    stored: StoredJob
    shard: int
    next_line: int


@dataclass(frozen=True, slots=True)
class Left:
    """An attempt that this worker does not execute. *ending*: what its engine must be told; None: nothing."""

    shard: int = 0
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a sign of life.

    *stops*: `grace` or `kill` by attempt. *gone*: attempts that the store does not have as running any more.
    *oldest*: the row that has waited longest in the queues of the worker.
    """

    now: Instant
    stops: Mapping[tuple[str, int], str]
    gone: Collection[tuple[str, int]]
    oldest: int | None


def new_life() -> str:
    """Return a unique id for a start of a worker."""
    return f"life_{secrets.token_hex(12)}"


def register(connection: Connection, identity: Identity) -> Instant:
    """Write the row of a life, or its sign of life; return the time of the store."""
    values = {
        "life": identity.life,
        "name": identity.name,
        "node": identity.node,
        "queues_json": json.dumps(identity.queues),
        "code_digest": identity.code_digest,
        "version": identity.version,
    }
    return int(connection.execute(_REGISTER, values).scalar_one())


def beat(connection: Connection, identity: Identity, held: Sequence[tuple[str, int]]) -> Beat:
    """Give a sign of life; return what the store says about the attempts that the worker executes."""
    now = register(connection, identity)
    ids = {"ids": [run_id for run_id, _ in held], "attempts": [attempt for _, attempt in held]}
    rows = connection.execute(_HELD, ids).all() if held else []
    return Beat(
        now,
        {(row.id, row.attempt): row.stop for row in rows if row.stop is not None},
        [(row.id, row.attempt) for row in rows if not row.is_running],
        connection.execute(_OLDEST, {"queues": list(identity.queues)}).scalar(),
    )


def take(
    connection: Connection, identity: Identity, run_id: str, attempt: int, now: Instant
) -> Taken | Left:
    """Take an attempt for this worker, unless it is over, stopped, or another worker's."""
    job_id = connection.execute(select(runs.c.job_id).where(runs.c.id == run_id)).scalar()
    if job_id is None:
        return Left()
    has_job = connection.execute(_JOB, {"job_id": job_id}).first() is not None
    query = select(runs).where(runs.c.id == run_id).with_for_update(key_share=True)
    row = connection.execute(query).one()
    if row.state != RunState.RUNNING.value or row.attempt != attempt:
        return Left()
    if row.stop is not None or not has_job:
        return Left(row.shard, Ending(EndKind.CANCELLED, now))
    keys = {"run_id": run_id, "attempt": attempt}
    mine = {**keys, "life": identity.life, "code_digest": identity.code_digest, "now": now}
    if connection.execute(_TAKE, mine).first() is None:
        return Left()
    run = read_run(row).run
    try:
        stored, job = _job_of(connection, run)
    except ValueError as error:
        fault = RunError("Unreadable", f"the definition of the job cannot be read: {error}")
        return Left(row.shard, Ending(EndKind.NOT_STARTED, now, error=fault))
    next_line = int(connection.execute(_NEXT_LINE, {"run_id": run_id}).scalar_one())
    return Taken(StartAttempt(run, job), stored, row.shard, next_line)


def _job_of(connection: Connection, run: Run) -> tuple[StoredJob, Job]:
    """Return the row of the job of *run*, and the definition that the run executes. Raises ValueError."""
    query = select(*COLUMNS).where(jobs.c.job_id == run.job_id)
    stored = read_job(connection.execute(query).one())
    definition = stored.definition
    if run.revision != stored.revision:
        keys = {"job_id": run.job_id, "revision": run.revision}
        definition = connection.execute(_REVISION, keys).scalar() or definition
    job = job_from_store(definition, run.revision)
    overlay = stored.progress.overlay
    return stored, job if run.is_pinned else replace(job, metadata=lay_over(job, overlay))


def report(connection: Connection, reports: Sequence[tuple[int, Report]], now: Instant) -> None:
    """Put reports into the inboxes of their shards, in order, and wake their owners."""
    rows = [
        {"shard": shard, "kind": InboxKind.REPORT.value, "body_json": body_of(event), "at": now}
        for shard, event in reports
    ]
    connection.execute(_REPORT, rows)
    for shard in sorted({shard for shard, _ in reports}):
        connection.execute(text("SELECT pg_notify('luad_inbox', :shard)"), {"shard": str(shard)})


def add_lines(connection: Connection, chunks: Sequence[Mapping[str, Any]]) -> None:
    """Add chunks of lines to logs; a chunk that is there already stays as it is."""
    connection.execute(_LINES, chunks)


def left_by(connection: Connection, life: str) -> list[tuple[Run, int]]:
    """Return the running runs, and their shards, that an earlier life of this worker took and did not report."""
    ids = list(connection.execute(_LEFT, {"life": life}).scalars())
    rows = connection.execute(select(runs).where(runs.c.id.in_(ids))).all() if ids else []
    return [(read_run(row).run, row.shard) for row in rows]


def hand_back(connection: Connection, attempts: Collection[tuple[str, int]]) -> None:
    """Hand attempts over again that this worker has fetched and not taken."""
    ProcrastinateHandOver().offer_again(connection, attempts)


def put_back(
    connection: Connection, life: str, run_id: str, attempt: int, code_digest: str
) -> bool:
    """Leave an attempt of this worker to others, if the publisher of the jobs has other code; return whether it is left.

    It is handed over again after a while, and put back no more a minute after its first start.
    """
    words = {"run_id": run_id, "attempt": attempt, "life": life}
    more = {"within": PUT_BACK_WITHIN_MS, "code_digest": code_digest}
    if connection.execute(_PUT_BACK, {**words, **more}).rowcount:
        ProcrastinateHandOver().offer_again(connection, [(run_id, attempt)], in_s=PUT_BACK_FOR_S)
        return True
    return connection.execute(_HOLDS, words).first() is None


def listen(connection: Connection) -> None:
    """Let the server wake this connection when a node asks workers to stop attempts."""
    connection.execute(text("LISTEN luad_stop"))
