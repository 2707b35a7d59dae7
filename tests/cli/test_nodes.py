"""`luad nodes`: who shares the store."""

from __future__ import annotations

from typing import Any

NODE = {
    "version": "0.2.0",
    "files_digest": "0123456789abcdef",
    "clock_offset_ms": 12,
    "seen_at": "2026-07-27T10:00:00Z",
}
WORKER = {
    "life": "l1",
    "node": None,
    "version": "0.2.0",
    "code_digest": "fedcba9876543210",
    "started_at": "2026-07-27T09:00:00Z",
    "seen_at": "2026-07-27T10:00:00Z",
}


def test_nodes_shows_each_node_each_worker_and_the_shards_that_wait(luad: Any, peer: Any) -> None:
    answer = {
        "nodes": [
            NODE | {"name": "ann", "status": "active", "shards": 60},
            NODE | {"name": "bob", "status": "gone", "shards": 0, "clock_offset_ms": None},
        ],
        "workers": [WORKER | {"name": "gpu-1", "queues": ["default", "gpu"]}],
        "shards": 64,
        "free_shards": 4,
        "code_digest": "0123456789abcdef",
    }
    peer.answers["GET /nodes"] = answer
    shown = luad("nodes")
    assert shown.code == 0
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[0] == ["NODE", "STATUS", "SHARDS", "VERSION", "FILES", "CLOCK", "SEEN"]
    assert lines[1][:7] == ["ann", "active", "60", "0.2.0", "01234567", "+12", "ms"]
    assert lines[2][:5] == ["bob", "gone", "0", "0.2.0", "01234567"]
    assert lines[5][:5] == ["gpu-1", "default", "gpu", "0.2.0", "fedcba98"]
    assert "4 shards of 64 have no node" in shown.err
    assert luad("nodes", "--json").json == answer


def test_nodes_says_when_luad_has_its_store_for_itself(luad: Any, peer: Any) -> None:
    peer.answers["GET /nodes"] = {"nodes": [], "workers": [], "shards": 0, "free_shards": 0}
    shown = luad("nodes")
    assert (shown.code, shown.out) == (0, "")
    assert "for itself" in shown.err
