"""Which files are in force: nodes whose files differ, while one of them changes, starts or comes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

pytest.importorskip("procrastinate")

from cluster.real_nodes import wait_until
from cluster.serving import COUNT, JOB, Nodes
from postgres import database_url

from luad.cluster.sites import MAIN
from luad.store.postgresql.session import LockKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ADDED = JOB.format(name="added")
HAS_ADDED = "SELECT count(*) FROM jobs WHERE name = 'added'"


@pytest.fixture
def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    found = Nodes(tmp_path, database_url(f"sites_{os.getpid()}_{abs(hash(request.node.name))}"))
    try:
        yield found
    finally:
        found.end()


def test_no_shard_gets_changed_files_before_they_are_in_force(nodes: Nodes) -> None:
    """Else a node with the older files could take the shard, and remove what is new."""
    nodes.start("ann")
    space = int(nodes.one("SELECT value FROM meta WHERE key = 'lock_space'")) + LockKind.SITE
    with psycopg.connect(nodes.url) as other:  # another node publishes, and is slow
        other.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (space, MAIN))
        nodes.daemons["ann"].write_job("added", ADDED)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        wait_until(lambda: bool(nodes.one(waiting)))
        nodes.goes_on()
        assert nodes.one(HAS_ADDED) == 0
    wait_until(lambda: bool(nodes.one(HAS_ADDED)))
    nodes.goes_on()
    assert nodes.one("SELECT count(*) FROM jobs") == COUNT + 2
