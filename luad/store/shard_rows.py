"""Reads the rows that the engine of one shard is restored from."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BindParameter, Connection, and_, bindparam, select

from luad.core.events import Restored
from luad.core.model import OPEN_STATES
from luad.store import job_rows
from luad.store.cluster_tables import shards
from luad.store.columns import read_run
from luad.store.tables import jobs, revisions, runs

_OPEN: Final = sorted(state.value for state in OPEN_STATES)
_shard: Final[BindParameter[int]] = bindparam("b_shard")

_installed: Final = select(*job_rows.COLUMNS).where(jobs.c.shard == _shard).order_by(jobs.c.name)
_waiting: Final = (
    select(runs)
    .where(runs.c.shard == _shard, runs.c.state.in_(_OPEN))
    .order_by(runs.c.claimed_at, runs.c.id)
)
_pinned: Final = (
    select(runs.c.id, revisions.c.revision, revisions.c.definition_json)
    .join(
        revisions,
        and_(revisions.c.job_id == runs.c.job_id, revisions.c.revision == runs.c.revision),
    )
    .where(runs.c.shard == _shard, runs.c.state.in_(_OPEN), runs.c.is_pinned)
)
_seen_at: Final = select(shards.c.seen_at).where(shards.c.shard == _shard)


def restored_shard(connection: Connection, shard: int) -> Restored:
    """Return what the engine of *shard* is restored from. Raises ValueError for an invalid row."""
    words = {"b_shard": shard}
    return Restored(
        jobs=tuple(map(job_rows.read_job, connection.execute(_installed, words))),
        open_runs=tuple(read_run(row).run for row in connection.execute(_waiting, words)),
        last_seen=connection.execute(_seen_at, words).scalar(),
        pinned=tuple(map(tuple, connection.execute(_pinned, words))),
    )
