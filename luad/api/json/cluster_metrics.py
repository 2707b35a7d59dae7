"""Numbers of a node for Prometheus.

Rule: each node counts what it has itself. What is of the whole store comes from one node, the one that does the chores;
so sums over all nodes are right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from luad.store.query_types import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luad.store.query_types import Cluster

_LOCAL: Final = (
    ("luad_shards_owned", "Shards that this node owns", "shards"),
    ("luad_shards_failed", "Shards that this node leaves alone for a minute", "failed_shards"),
)


def node_families(node: Mapping[str, Any] | None, cluster: Cluster | None) -> Iterator[Metric]:
    """Yield the families of *node*, the node's part of the status, and of *cluster*, if this node tells them."""
    if node is None:
        return
    for name, words, key in _LOCAL:
        yield GaugeMetricFamily(name, words, value=node[key])
    yield CounterMetricFamily(
        "luad_takeovers", "Shards that this node has taken", value=node["takeovers"]
    )
    behind = GaugeMetricFamily(
        "luad_behind", "1 if the files of this node are not those in force", labels=("site",)
    )
    behind.add_metric((node["site"],), float(node["behind"]))
    yield behind
    if node["clock_offset_ms"] is not None:
        words = "How far the clock of the store is ahead of the machine's"
        value = node["clock_offset_ms"] / 1000
        yield GaugeMetricFamily("luad_clock_offset_seconds", words, value=value)
    if cluster is not None and cluster.load is not None:
        yield from _of_all(cluster)


def _of_all(cluster: Cluster) -> Iterator[Metric]:
    load = cluster.load
    assert load is not None, "the caller has looked"
    connected = [each for each in cluster.nodes if each.status is not NodeStatus.GONE]
    free = cluster.shards - sum(each.shards for each in cluster.nodes)
    yield GaugeMetricFamily("luad_nodes", "Nodes in touch with the store", value=len(connected))
    yield GaugeMetricFamily("luad_shards_free", "Shards without a node", value=free)
    yield GaugeMetricFamily("luad_inbox_rows", "Rows that wait for their node", value=load.rows)
    yield GaugeMetricFamily("luad_inbox_failed", "Rows that no node can take", value=load.failed)
    words = "The age of the oldest row that waits for its node"
    yield GaugeMetricFamily("luad_inbox_oldest_seconds", words, value=load.oldest_ms / 1000)
    workers = GaugeMetricFamily("luad_workers", "Workers that were seen lately", labels=("queue",))
    counts: dict[str, int] = {}
    for each in cluster.workers:
        if each.seen_at >= cluster.now - load.lost_after_ms:
            for queue in each.queues:
                counts[queue] = counts.get(queue, 0) + 1
    for queue, count in sorted(counts.items()):
        workers.add_metric((queue,), count)
    yield workers
