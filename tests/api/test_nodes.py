"""The route of the nodes and workers that share the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from luad.api.json.cluster_metrics import node_families
from luad.store.query_types import Cluster, ClusterLoad, ClusterNode, ClusterWorker, NodeStatus


async def test_a_store_of_its_own_has_no_nodes(api: Any) -> None:
    answer = (await api.get("/v1/nodes")).json
    alone = {"nodes": [], "workers": [], "shards": 0, "free_shards": 0, "code_digest": None}
    assert answer == alone


async def test_nodes_and_workers_are_listed_with_what_no_node_has(
    api: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = daemon.clock.wall
    ann = ClusterNode("ann", "0.2.0", NodeStatus.ACTIVE, 60, "f00d", -3, at)
    bob = ClusterNode("bob", "0.2.0", NodeStatus.GONE, 0, None, None, at - 90_000)
    worker = ClusterWorker(
        "life1", "ann", None, ("default", "gpu"), "0.2.0", at - 60_000, at, "c0de"
    )

    async def cluster() -> Cluster:
        return Cluster(at, 64, (ann, bob), (worker,), code_digest="new")

    monkeypatch.setattr(daemon, "cluster", cluster, raising=False)
    answer = (await api.get("/v1/nodes")).json
    assert (answer["code_digest"], answer["workers"][0]["code_digest"]) == ("new", "c0de")
    assert (answer["shards"], answer["free_shards"]) == (64, 4)
    assert answer["nodes"] == [
        {
            "name": "ann",
            "status": "active",
            "shards": 60,
            "version": "0.2.0",
            "files_digest": "f00d",
            "clock_offset_ms": -3,
            "seen_at": "2026-11-22T12:00:00Z",
        },
        {
            "name": "bob",
            "status": "gone",
            "shards": 0,
            "version": "0.2.0",
            "files_digest": None,
            "clock_offset_ms": None,
            "seen_at": "2026-11-22T11:58:30Z",
        },
    ]
    (listed,) = answer["workers"]
    assert (listed["life"], listed["node"], listed["queues"]) == ("life1", None, ["default", "gpu"])
    assert listed["started_at"] == "2026-11-22T11:59:00Z"


PART = {
    "site": "main",
    "shards": 60,
    "failed_shards": 1,
    "takeovers": 63,
    "behind": False,
    "clock_offset_ms": 250,
}


def numbers(cluster: Cluster | None) -> dict[str, float]:
    found = {}
    for family in node_families(PART, cluster):
        for sample in family.samples:
            found[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return found


def test_each_node_counts_its_own_and_one_node_what_is_of_the_store() -> None:
    own = {
        "luad_shards_owned": 60,
        "luad_shards_failed": 1,
        "luad_takeovers_total": 63,
        "luad_behind main": 0,
        "luad_clock_offset_seconds": 0.25,
    }
    ann = ClusterNode("ann", "0.2.0", NodeStatus.ACTIVE, 60, "f00d", -3, 100_000)
    bob = ClusterNode("bob", "0.2.0", NodeStatus.GONE, 0, None, None, 10_000)
    late, seen = (
        ClusterWorker(life, life, None, ("default", "gpu"), "0.2.0", 0, seen_at)
        for life, seen_at in (("late", 69_999), ("seen", 70_000))
    )
    cluster = Cluster(100_000, 64, (ann, bob), (late, seen))
    assert numbers(cluster) == numbers(None) == own
    load = ClusterLoad(rows=7, failed=2, oldest_ms=1_500, waiting={"gpu": 3}, lost_after_ms=30_000)
    assert numbers(replace(cluster, load=load)) == own | {
        "luad_nodes": 1,
        "luad_shards_free": 4,
        "luad_inbox_rows": 7,
        "luad_inbox_failed": 2,
        "luad_inbox_oldest_seconds": 1.5,
        "luad_workers default": 1,
        "luad_workers gpu": 1,
    }
    assert list(node_families(None, None)) == []
