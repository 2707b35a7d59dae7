"""An owner and Procrastinate: cancelled before a worker fetched it, silent workers, hand-overs that are over.

No worker runs here; the tests write what one would have written before it died.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

pytest.importorskip("procrastinate")

from cluster.real_nodes import LONG_S, Cluster, wait_until
from postgres import database_url

from luad.cluster.asking import Asker
from luad.config.settings.store_target import Target
from luad.core.model import Trigger
from luad.core.requests import CancelRequested, TriggerRequested

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(database_url(f"judging_{os.getpid()}"), tmp_path_factory.mktemp("nodes"))
    try:
        found.start("ann", LUAD_TEST_WORKERS="yes")
        wait_until(lambda: bool(found.nodes["ann"].events("connected")))
        wait_until(lambda: found.owns_all("ann"))
        yield found
    finally:
        found.end()


@pytest.fixture
async def asker(cluster: Cluster) -> AsyncIterator[Asker]:
    space = int(cluster.one("SELECT value FROM meta WHERE key = 'lock_space'"))
    found = Asker(Target(cluster.url), "bob", space, within_s=LONG_S)
    yield found
    await found.close()


async def started(asker: Asker, request_id: str) -> str:
    """The id of a run that was handed over just now."""
    reply = await asker.ask(TriggerRequested(request_id, "job-1", Trigger.API))
    return str(reply.value.id)


def state_of(cluster: Cluster, run_id: str) -> str:
    return str(cluster.one("SELECT state FROM runs WHERE id = %s", run_id))


def hand_over_of(cluster: Cluster, run_id: str) -> int:
    return int(cluster.one("SELECT hand_over FROM runs WHERE id = %s", run_id))


def status_of(cluster: Cluster, hand_over: int) -> str:
    query = "SELECT status::text FROM procrastinate_jobs WHERE id = %s"
    return str(cluster.one(query, hand_over))


async def test_a_run_that_no_worker_fetched_is_cancelled_in_two_turns(
    cluster: Cluster, asker: Asker
) -> None:
    run_id = await started(asker, "req_cancel")
    assert state_of(cluster, run_id) == "running"
    reply = await asker.ask(CancelRequested("req_cancelled", run_id))
    assert reply.error is None
    wait_until(lambda: state_of(cluster, run_id) == "cancelled")
    assert status_of(cluster, hand_over_of(cluster, run_id)) == "cancelled", "nobody will fetch it"


async def test_a_run_is_lost_when_its_worker_is_silent(cluster: Cluster, asker: Asker) -> None:
    run_id = await started(asker, "req_silent")
    cluster.do(
        "INSERT INTO workers (life, name, queues_json, version, started_at, seen_at)"
        " VALUES ('life_dead', 'w', '[]', '0', 0, 0)"
    )
    cluster.do(
        "INSERT INTO attempts (run_id, attempt, worker) VALUES (%s, 1, 'life_dead')", (run_id,)
    )
    row = hand_over_of(cluster, run_id)
    cluster.do("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", (row,))
    wait_until(lambda: state_of(cluster, run_id) == "lost")


async def test_a_run_is_lost_when_its_hand_over_is_over_without_a_report(
    cluster: Cluster, asker: Asker
) -> None:
    """A task that failed before its first line."""
    run_id = await started(asker, "req_over")
    row = hand_over_of(cluster, run_id)
    cluster.do("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", (row,))
    cluster.do("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", (row,))
    wait_until(lambda: state_of(cluster, run_id) == "lost")


async def test_what_a_dead_fetcher_took_is_handed_over_again_and_not_lost(
    cluster: Cluster, asker: Asker
) -> None:
    run_id = await started(asker, "req_taken")
    row = hand_over_of(cluster, run_id)
    cluster.do("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", (row,))
    cluster.do(
        "UPDATE procrastinate_events SET at = now() - interval '1 hour' WHERE job_id = %s", (row,)
    )
    wait_until(lambda: hand_over_of(cluster, run_id) != row)
    assert state_of(cluster, run_id) == "running"
    assert status_of(cluster, hand_over_of(cluster, run_id)) == "todo"


def test_a_run_that_waits_for_a_worker_waits_as_long_as_it_takes(cluster: Cluster) -> None:
    """Every second more of them wait; while the others were judged, none of these was."""
    lost = cluster.ask(
        "SELECT r.id FROM runs r JOIN procrastinate_jobs j ON j.id = r.hand_over"
        " WHERE j.status = 'todo' AND r.state <> 'running'"
    )
    assert lost == []
    assert cluster.one("SELECT count(*) FROM runs WHERE state = 'running'") > 0
