"""A reload over all nodes: what changed files change in the whole store, and which nodes have other files.

Rule: a node changes only its own shards. The other nodes read their files themselves, so a reload waits for them a
while, and then names those that are left.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from luad.cluster.sites import MAIN
from luad.errors import StoreUnavailableError
from luad.store.query_types import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import Connection

    from luad.api.service import ReloadResult
    from luad.cluster.declared import Declared
    from luad.cluster.mirror import Mirror
    from luad.cluster.mirroring import Mirroring
    from luad.cluster.node_life import NodeLife
    from luad.cluster.pg_rows import Identity
    from luad.cluster.sites import FilesInForce
    from luad.core.model import Wanted
    from luad.core.plan import Plan
    from luad.store.query_types import Cluster, ClusterNode
    from luad.store.transactions import Transactions

WITHIN_S: Final = 5.0
"""So long a reload waits for the other nodes."""

_LOOK_S: Final = 0.2
_IN_FORCE: Final = text("SELECT digest FROM sites WHERE name = :site")


class AllNodes:
    """Implements `luad.daemon.configuration.Others` for a node. *cluster* reads the nodes of the store."""

    def __init__(
        self,
        store: Transactions,
        cluster: Callable[[Connection], Cluster],
        declared: Declared,
        mirror: Mirror,
        mirroring: Mirroring,
        life: NodeLife,
        files: FilesInForce,
        identity: Identity,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._declared = declared
        self._mirror = mirror
        self._mirroring = mirroring
        self._life = life
        self._files = files
        self._identity = identity

    def count(self) -> int:
        """Return the number of jobs in the files of this node."""
        return self._declared.digest.count

    async def announce(self, items: Mapping[str, Wanted | None]) -> Plan | None:
        """Put changed files in force before a shard uses them; return what they change on all nodes."""
        with suppress(StoreUnavailableError):  # the next step waits for the store
            await self._mirroring.refresh()
        plan = self._mirror.plan(items)
        if self._life.declare(items):
            return plan
        self._identity.files_digest = str(self._declared.digest)
        return plan if await self._files.announce() else None

    async def wait(self, result: ReloadResult) -> ReloadResult:
        """Wait until the changes of *result* are in force on all nodes, and add the nodes that have other files."""
        names = [*result.added, *(name for name, _ in result.replaced), *result.removed]
        ends_at = asyncio.get_running_loop().time() + WITHIN_S
        while True:
            in_force, behind = await self._store.read(self._read)
            await self._mirroring.refresh()
            is_mine = in_force == str(self._declared.digest)
            is_late = asyncio.get_running_loop().time() >= ends_at
            if is_late or not is_mine or not (behind or self._is_left(names)):
                return replace(result, in_force=is_mine, nodes_behind=behind)
            await asyncio.sleep(_LOOK_S)

    def _is_left(self, names: Iterable[str]) -> bool:
        """Return whether one of the changed jobs is not as the files say."""
        plan = self._mirror.plan({name: self._declared.find(name) for name in names})
        return bool(plan.add or plan.replace or plan.remove)

    def _read(self, connection: Connection) -> tuple[str | None, tuple[str, ...]]:
        """Return the digest of the set in force, and the names of the nodes that have another set."""
        in_force: str | None = connection.execute(_IN_FORCE, {"site": MAIN}).scalar()
        nodes = self._cluster(connection).nodes
        return in_force, tuple(each.name for each in nodes if _differs(each, in_force))


def _differs(node: ClusterNode, in_force: str | None) -> bool:
    return node.status is not NodeStatus.GONE and node.files_digest not in {None, in_force}
