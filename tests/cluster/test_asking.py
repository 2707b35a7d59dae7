"""Requests from any node: the owner of the shard answers, once, or the asker knows what became of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

pytest.importorskip("psycopg")

from cluster.real_nodes import LONG_S, Cluster, Process, wait_until
from postgres import database_url

from luad.cluster.asking import Asker, NoOwnerError
from luad.config.settings.store_target import Target
from luad.core.model import Trigger
from luad.core.requests import (
    AnswerKey,
    CancelRequested,
    PauseRequested,
    ResumeRequested,
    TriggerRequested,
)
from luad.core.shards import shard_of
from luad.errors import UnavailableError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(database_url(f"asking_{os.getpid()}"), tmp_path_factory.mktemp("nodes"))
    try:
        found.start("ann")
        wait_until(lambda: bool(found.nodes["ann"].events("connected")))
        found.start("bob")
        wait_until(lambda: found.owns_all("ann", "bob"))
        yield found
    finally:
        found.end()


@pytest.fixture
async def askers(cluster: Cluster) -> AsyncIterator[list[Asker]]:
    """Two nodes that own nothing, and ask."""
    space = int(cluster.one("SELECT value FROM meta WHERE key = 'lock_space'"))
    found = [Asker(Target(cluster.url), name, space, within_s=LONG_S) for name in ("cid", "dan")]
    yield found
    for each in found:
        await each.close()


def owner_of(cluster: Cluster, job: str) -> Process:
    name = cluster.one("SELECT owner FROM shards WHERE shard = %s", shard_of(job))
    return cluster.nodes[name]


def pauses(cluster: Cluster, job: str) -> bool:
    return cluster.one("SELECT paused_at FROM jobs WHERE name = %s", job) is not None


async def test_the_owner_of_each_job_answers(cluster: Cluster, askers: list[Asker]) -> None:
    names = [f"job-{number}" for number in range(6)]
    assert len({owner_of(cluster, name).name for name in names}) == 2, "the jobs have two owners"
    replies = await asyncio.gather(
        *(askers[0].ask(PauseRequested(f"req_{name}", name, "because")) for name in names)
    )
    assert [each.error for each in replies] == [None] * 6
    assert all(pauses(cluster, name) for name in names), "what was answered is durable"
    replies = await asyncio.gather(
        *(askers[1].ask(ResumeRequested(f"again_{name}", name)) for name in names)
    )
    assert [each.error for each in replies] == [None] * 6
    assert cluster.ask("SELECT * FROM replies") == [], "the asker takes its replies away"


async def test_a_run_is_the_value_of_the_reply_and_what_does_not_exist_is_told(
    askers: list[Asker],
) -> None:
    reply = await askers[0].ask(TriggerRequested("req_run", "job-1", Trigger.API, {"a": 1}))
    assert reply.value.job_name == "job-1"
    assert reply.value.metadata == {"a": 1}
    gone = await askers[0].ask(CancelRequested("req_gone", "run_nowhere"))
    assert gone.error == "conflict"
    unknown = await askers[0].ask(PauseRequested("req_unknown", "nobody"))
    assert unknown.error == "not_found"


async def test_one_key_at_two_nodes_is_one_run(cluster: Cluster, askers: list[Asker]) -> None:
    key = AnswerKey("once", "print")
    first, second = await asyncio.gather(
        *(
            asker.ask(
                TriggerRequested(f"req_key_{number}", "job-2", Trigger.API, {"k": 1}, key=key)
            )
            for number, asker in enumerate(askers)
        )
    )
    assert sorted([str(first.error), str(second.error)]) == ["None", "conflict"]
    runs = cluster.one(
        "SELECT count(*) FROM runs WHERE job_name = 'job-2' AND metadata_json = %s", '{"k":1}'
    )
    assert runs == 1


async def test_a_request_that_is_withdrawn_in_time_is_surely_not_carried_out(
    cluster: Cluster, askers: list[Asker]
) -> None:
    """Its owner hangs; the row is withdrawn before the owner goes on."""
    owner = owner_of(cluster, "job-3")
    asker = askers[0]
    asker._within_s = 2.0
    owner.signal(signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError, match="was not carried out"):
            await asker.ask(PauseRequested("req_late", "job-3"))
    finally:
        owner.signal(signal.SIGCONT)
    wait_until(lambda: cluster.owns_all("ann", "bob"))
    cluster.goes_on()
    assert not pauses(cluster, "job-3")


async def test_without_an_owner_the_asker_is_told_so(cluster: Cluster, askers: list[Asker]) -> None:
    for node in cluster.nodes.values():
        node.signal(signal.SIGTERM)
        node.process.wait(LONG_S)
    askers[0]._within_s = 2.0
    with pytest.raises(NoOwnerError, match="was not carried out"):
        await askers[0].ask(PauseRequested("req_alone", "job-3"))
    assert cluster.ask("SELECT seq FROM inbox WHERE kind = 'request'") == []
