"""Nodes as real processes on a real PostgreSQL, with faults at the worst moments.

Judged after each: every job has one row for each second, none missing, none twice; no attempt was handed over twice; all
shards are owned by nodes that live; the inbox is empty.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

from cluster.real_nodes import JOBS, LONG_S, Cluster, Process, wait_until
from postgres import database_url

from luad.core.shards import SHARDS, shard_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(database_url(f"real_nodes_{os.getpid()}"), tmp_path_factory.mktemp("nodes"))
    try:
        found.start("ann")  # it makes the schema
        wait_until(lambda: bool(found.nodes["ann"].events("connected")))
        found.start("bob", "cid")
        wait_until(lambda: found.owns_all("ann", "bob", "cid"))
        yield found
    finally:
        found.end()


@pytest.fixture
def three(cluster: Cluster) -> Iterator[Cluster]:
    """Three nodes that own everything before and after; the judge has the last word."""
    for name in ("ann", "bob", "cid"):
        if cluster.nodes[name].process.poll() is not None:
            cluster.start(name)
    wait_until(lambda: cluster.owns_all("ann", "bob", "cid"))
    cluster.goes_on()
    yield cluster
    judge(cluster)


def judge(cluster: Cluster) -> None:
    """Every promise, by what the store has."""
    cluster.goes_on()
    twice = cluster.ask(
        "SELECT job_name, scheduled_for, count(*) FROM runs GROUP BY 1, 2 HAVING count(*) > 1"
    )
    assert twice == [], "an occurrence has two rows"
    for name, first, last, count in cluster.ask(
        "SELECT job_name, min(coalesce(skip_first, scheduled_for)), max(scheduled_for),"
        " sum(coalesce(skip_count, 1)) FROM runs GROUP BY 1"
    ):
        assert count == (last - first) // 1_000 + 1, f"{name} has occurrences without a row"
    without = cluster.ask(
        "SELECT r.id FROM runs r LEFT JOIN starts s ON s.run_id = r.id WHERE s.run_id IS NULL"
        " AND r.skip_count IS NULL AND r.state IN ('running', 'succeeded')"
    )
    assert without == [], "a run was never handed over"
    stray = cluster.ask("SELECT run_id FROM starts LEFT JOIN runs ON id = run_id WHERE id IS NULL")
    assert stray == [], "something was handed over without a claim"
    early = cluster.ask("SELECT id FROM runs WHERE claimed_at < fire_at")
    assert early == [], "something was early"
    old = cluster.one("SELECT max(seq) FROM inbox") or 0
    wait_until(
        lambda: (
            not cluster.one("SELECT count(*) FROM inbox WHERE seq <= %s AND failed_at IS NULL", old)
        )
    )
    oldest = cluster.one("SELECT max(claimed_at) FROM runs") - 5_000
    wait_until(
        lambda: (
            not cluster.one(
                "SELECT count(*) FROM runs WHERE state = 'running' AND claimed_at < %s", oldest
            )
        )
    )


def test_a_killed_node_is_replaced_at_once(three: Cluster) -> None:
    three.nodes["bob"].process.kill()
    three.nodes["bob"].end()
    wait_until(lambda: three.owns_all("ann", "cid"))


def test_a_node_that_hangs_loses_its_shards_and_comes_back(three: Cluster) -> None:
    node = three.nodes["ann"]
    node.signal(signal.SIGSTOP)
    wait_until(lambda: three.owns_all("bob", "cid"))
    three.goes_on()
    node.signal(signal.SIGCONT)
    wait_until(lambda: three.owns_all("ann", "bob", "cid"))
    assert node.events("lost"), "it found its session gone, and forgot what it knew"


def test_a_node_whose_event_loop_is_stuck_loses_its_shards(three: Cluster) -> None:
    node = three.nodes["cid"]
    before = len(node.events("lost"))
    (node.folder / "stuck").write_text("14")
    wait_until(lambda: three.owns_all("ann", "bob"))
    wait_until(lambda: three.owns_all("ann", "bob", "cid"))
    assert len(node.events("lost")) > before


def test_a_node_that_is_told_to_stop_gives_its_shards(three: Cluster) -> None:
    node = three.nodes["bob"]
    node.signal(signal.SIGTERM)
    node.process.wait(LONG_S)
    wait_until(lambda: bool(node.events("left")))
    assert node.events("given")
    assert not node.events("lost"), "it was not told that anything was lost"
    assert ("bob",) not in three.ask("SELECT name FROM nodes")
    wait_until(lambda: three.owns_all("ann", "cid"))


def test_nothing_is_written_by_a_turn_that_fails_in_the_database(three: Cluster) -> None:
    """As a full disk or an administrator's lock would: every claim is refused for a while."""
    three.do(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE disk_full; END $$"
    )
    three.do(
        "CREATE TRIGGER refuse BEFORE INSERT ON runs FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    before = {name: len(node.events("lost")) for name, node in three.nodes.items()}
    wait_until(lambda: any(len(n.events("lost")) > before[name] for name, n in three.nodes.items()))
    three.do("DROP TRIGGER refuse ON runs")
    wait_until(lambda: three.owns_all("ann", "bob", "cid"))


def test_sessions_that_are_cut_again_and_again_lose_and_repeat_nothing(three: Cluster) -> None:
    """The server ends a node's session at any point of a turn, also around its commit."""
    for _ in range(15):
        for name in ("ann", "bob", "cid"):
            three.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
                " AND datname = current_database()",
                f"luad {name}",
            )
            before = three.claims()
            wait_until(lambda before=before: three.claims() > before)  # type: ignore[misc]
    wait_until(lambda: three.owns_all("ann", "bob", "cid"))


def test_late_occurrences_run_when_a_node_is_willing_again(three: Cluster) -> None:
    """While nobody owns a shard, nothing is claimed; then everything is, by `catch_up`."""
    for node in three.nodes.values():
        node.signal(signal.SIGTERM)
    for node in three.nodes.values():
        node.process.wait(LONG_S)
    assert three.owners().total() == 0
    three.start("ann", "bob", "cid")


def test_rows_that_no_engine_can_take_are_set_aside_and_their_asker_is_told(three: Cluster) -> None:
    body = json.dumps({"is": "Exploded", "request_id": "req_bad"})
    shard = shard_of("job-0")
    three.do(
        "INSERT INTO inbox (shard, kind, request_id, asker, body_json, at)"
        " VALUES (%s, 'request', 'req_bad', 'ann', %s, 0)",
        (shard, body),
    )
    wait_until(lambda: bool(three.one("SELECT count(*) FROM inbox WHERE failed_at IS NOT NULL")))
    assert "Exploded" in three.one("SELECT error FROM inbox WHERE failed_at IS NOT NULL")
    wait_until(lambda: bool(three.ask("SELECT 1 FROM replies WHERE request_id = 'req_bad'")))
    assert json.loads(three.one("SELECT body_json FROM replies"))["error"] == "internal"
    three.do("DELETE FROM inbox WHERE failed_at IS NOT NULL")


def test_a_shard_that_cannot_be_read_is_given_up_and_the_others_go_on(three: Cluster) -> None:
    """All nodes fail to read it; when it can be read again, its late occurrences run."""
    for node in three.nodes.values():
        (node.folder / "unreadable").write_text("job-0")
    three.nodes["ann"].process.kill()
    three.nodes["ann"].end()
    owner = three.one("SELECT owner FROM shards WHERE shard = %s", shard_of("job-0"))
    if owner != "ann":
        three.nodes[owner].process.kill()
        three.nodes[owner].end()
    alive = [node for node in three.nodes.values() if node.process.poll() is None]
    wait_until(lambda: all(node.events("shard_failed") for node in alive))
    others = "SELECT count(*) FROM runs WHERE job_name <> 'job-0'"
    before = three.one(others)
    wait_until(lambda: three.one(others) > before + JOBS)
    assert three.owners().total() == SHARDS - 1
    for node in three.nodes.values():
        (node.folder / "unreadable").unlink()
    for name in ("ann", owner):
        if three.nodes[name].process.poll() is not None:
            three.start(name)  # it has not given the shard up
    wait_until(lambda: three.owns_all("ann", "bob", "cid"))


def test_a_second_node_of_a_name_refuses_to_start_and_says_who_has_it(three: Cluster) -> None:
    second = Process(three.url, "ann", three.folder / "second")
    try:
        second.process.wait(LONG_S)
        wait_until(lambda: bool(second.events("refused to start")))
        assert "127.0.0.1" in second.events("refused to start")[0]["error"]
        assert not second.events("taken")
    finally:
        second.end()


def test_a_wrong_clock_of_a_machine_harms_nothing(three: Cluster) -> None:
    for name, wrong_by in (("bob", "3600000"), ("cid", "-86400000")):
        three.nodes[name].process.kill()
        three.nodes[name].end()
        three.start(name, LUAD_TEST_WRONG_BY=wrong_by)
    wait_until(lambda: three.owns_all("ann", "bob", "cid"))
    three.goes_on()
    server = three.one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    newest = three.one("SELECT max(claimed_at) FROM runs")
    assert newest <= server


def test_the_unique_claim_is_a_second_lock_when_the_first_does_not_exclude(
    cluster: Cluster,
) -> None:
    """Two nodes own every shard, as with a bug in the locks: still each occurrence is started once."""
    for node in cluster.nodes.values():
        node.signal(signal.SIGTERM)
    for node in cluster.nodes.values():
        node.process.wait(LONG_S)
    cluster.start("ann")
    cluster.start("bob", LUAD_TEST_SPACE="1000")
    wait_until(
        lambda: sum(e["count"] for n in cluster.nodes.values() for e in n.events("refused")) > JOBS
    )
    for name in ("ann", "bob"):
        cluster.nodes[name].end()
    twice = cluster.ask(
        "SELECT r.job_name, r.scheduled_for, count(*) FROM starts s JOIN runs r ON r.id = s.run_id"
        " GROUP BY 1, 2 HAVING count(*) > 1"
    )
    assert twice == []
    assert (
        cluster.ask("SELECT run_id FROM starts LEFT JOIN runs ON id = run_id WHERE id IS NULL")
        == []
    )


def test_two_stores_of_one_server_do_not_meet(tmp_path: Path) -> None:
    """Nodes of the same names own all the shards of both."""
    stores = [Cluster(database_url(f"two_{n}_{os.getpid()}"), tmp_path / str(n)) for n in range(2)]
    try:
        for each in stores:
            each.folder.mkdir()
            each.start("ann")
        for each in stores:
            wait_until(lambda each=each: bool(each.nodes["ann"].events("connected")))  # type: ignore[misc]
            wait_until(lambda each=each: each.owns_all("ann"))  # type: ignore[misc]
            each.goes_on()
    finally:
        for each in stores:
            each.end()
