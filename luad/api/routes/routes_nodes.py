"""The route of nodes and workers that share the store.

Rule: as in `routes_jobs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luad.api.context import context_of, json_response
from luad.api.json import views

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.store.query_types import ClusterNode, ClusterWorker


async def list_nodes(request: Request) -> Response:
    """`GET /nodes`: the nodes and workers that share the store; none for an embedded store."""
    context = context_of(request)
    found = await context.service.cluster()
    if found is None:
        alone = {"nodes": [], "workers": [], "shards": 0, "free_shards": 0, "code_digest": None}
        return json_response(alone)
    owned = sum(each.shards for each in found.nodes)
    return json_response(
        {
            "nodes": [_node(each) for each in found.nodes],
            "workers": [_worker(each) for each in found.workers],
            "shards": found.shards,
            "free_shards": found.shards - owned,
            "code_digest": found.code_digest,
        }
    )


def _node(node: ClusterNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "status": node.status.value,
        "shards": node.shards,
        "version": node.version,
        "files_digest": node.files_digest,
        "clock_offset_ms": node.offset_ms,
        "seen_at": views.instant(node.seen_at),
    }


def _worker(worker: ClusterWorker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "life": worker.life,
        "node": worker.node,
        "queues": list(worker.queues),
        "version": worker.version,
        "code_digest": worker.code_digest,
        "started_at": views.instant(worker.started_at),
        "seen_at": views.instant(worker.seen_at),
    }
