"""Taking a shard on a real session: a node whose files are not those in force takes none."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("procrastinate")

from postgres import empty

from luad.cluster import pg_rows
from luad.cluster.pg_session import NodeParts, PgSession
from luad.cluster.procrastinate_queue import ProcrastinateHandOver
from luad.cluster.sites import MAIN
from luad.config.jobs.stored_jobs import job_from_store
from luad.config.settings.store_target import Target
from luad.store.migration_progress import say_nothing
from luad.store.postgresql.opening import prepare_store
from luad.store.postgresql.session import Session

PUBLISH = """INSERT INTO sites (name, digest, generation, published_at, published_by)
    VALUES (%s, %s, 1, 0, 'other') RETURNING 1"""


async def tries(url: str, digest: str | None) -> tuple[bool, bool]:
    """Return whether a node with the files of *digest* takes a shard, and whether it then holds the lock."""
    target = Target.parse(url)
    space = await asyncio.to_thread(prepare_store, target, "ann", say_nothing)
    parts = NodeParts(
        pg_rows.Identity("ann", "0", "0", MAIN, digest),
        ProcrastinateHandOver(),
        lambda _: {},
        lambda _: (),
        job_from_store,
        space,
        used_digest=lambda: digest,
    )
    session = await PgSession(Session(target, node="ann", lock_space=space), parts).open()
    try:
        if digest is not None:
            session.locks.ask(PUBLISH, (MAIN, "new"))
        async with session.begin(is_take=True) as transaction:
            is_taken = await transaction.lock(7)
        return is_taken, 7 in session.locks.own_shards()
    finally:
        await session.close()


@pytest.mark.parametrize(
    ("digest", "is_allowed"),
    [("new", True), ("old", False), (None, True)],
    ids=["in force", "older", "not read"],
)
def test_a_node_takes_a_shard_only_with_the_files_in_force(
    postgres_url: str, digest: str | None, is_allowed: bool
) -> None:
    prepare_store(Target.parse(postgres_url), "ann", say_nothing)
    empty(postgres_url)
    assert asyncio.run(tries(postgres_url, digest)) == (is_allowed, is_allowed)
