"""`luad serve` on a store in PostgreSQL: a daemon that is a node of a cluster.

Rule: wiring only. The start is: schema, files, mirror, socket, session and shards, worker, READY.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from luad import __version__
from luad.cluster import pg_rows
from luad.cluster.all_nodes import AllNodes
from luad.cluster.cluster_daemon import ClusterDaemon, bounds, prepare_queue
from luad.cluster.declared import Declared
from luad.cluster.engine_set import EngineSet
from luad.cluster.handler_code import HandlerCode
from luad.cluster.node import Node, NodeSettings
from luad.cluster.node_life import NodeLife, NodeObserver
from luad.cluster.node_loop import NodeLoop
from luad.cluster.own_worker import worker_parts
from luad.cluster.pg_session import NodeParts, PgSession
from luad.cluster.procrastinate_queue import ProcrastinateHandOver
from luad.cluster.queue_watch import QueueWatch
from luad.cluster.sites import MAIN, SITES_CHANNEL, FilesInForce
from luad.config.jobs.stored_jobs import job_from_store
from luad.core.events import ConfigLoaded, Event
from luad.daemon.recovery import jobs_in_force
from luad.errors import StoreUnavailableError
from luad.store.postgresql.cluster_rows import read_load
from luad.store.postgresql.session import Session
from luad.store.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from luad.api.service import ReloadResult
    from luad.clock import Clock
    from luad.cluster.worker import WorkerParts
    from luad.config.settings.daemon_settings import Settings
    from luad.core.concurrency import UnservedRuns
    from luad.core.events import Record, Reply, StoredJob
    from luad.core.model import Job
    from luad.daemon.loop import Turns
    from luad.logs import Logging
    from luad.store import Store
    from luad.store.postgresql.node_backend import NodeBackend
    from luad.store.query_types import Cluster


_LEFT_S: Final = 60.0
_START_US: Final = 60_000_000
"""How long systemd waits for the next pulse of a start: many jobs take a while."""


class NodeDaemon(ClusterDaemon):
    """One node's life, and the service that its API uses."""

    life: NodeLife

    def __init__(
        self, settings: Settings, logs: Logging, store: Store, backend: NodeBackend, clock: Clock
    ) -> None:
        super().__init__(settings, logs, store, backend, clock)
        self._engines = EngineSet(bounds(settings))
        self._node_settings = NodeSettings(backend.node, settings.lost_after_ms)
        self._identity = pg_rows.Identity(backend.node, __version__, "", MAIN)
        self._declared = Declared()
        self.mirror.is_stale = self._declared.is_stale
        self._working: asyncio.Task[None] | None = None
        self._is_settled = asyncio.Event()

    # --- the parts that differ from those of a daemon that is alone ---

    def _worker_parts(self) -> WorkerParts:
        return worker_parts(
            self._settings,
            self._backend.target,
            self._backend.node,
            self._store_clock,
            self.logs.emit,
            self._secrets,
            self._node_settings.lost_after_ms,
            node=self._backend.node,
        )

    def _decides_for(self, shard: int) -> bool:
        return shard in self._engines.owned

    def _make_loop(self) -> Turns:
        backend, clock = self._backend, self._store_clock
        observer = NodeObserver(
            self._live_followers, self._effects, self._answer, self._on_store, self._reports.let_go
        )
        node = Node(self._node_settings, self._engines, clock, observer)
        node.is_willing = False  # until the files are read
        loop = NodeLoop(node, clock, self._connect, self._on_pulse)
        self._mirroring = self._make_mirroring()
        self.life = NodeLife(
            node,
            loop,
            self.mirror,
            self._mirroring,
            observer,
            self._declared,
            clock,
            on_files=self._on_files,
            on_turn=self._on_life,
            worker=self.worker,
        )
        self._observer = observer
        self._node_loop = loop
        self._node = node
        self.files_in_force = FilesInForce(
            Transactions(backend),
            backend.node,
            backend.lock_space,
            self._declared,
            self.life.use_declared,
            self._allow,
            self._effects.log,
        )
        self._queue_watch = QueueWatch(
            Transactions(backend), self._settings.lost_after_ms, self._effects.log
        )
        self._listener = self._make_listener(pg_rows.INBOX_CHANNEL, SITES_CHANNEL)
        return self.life

    async def _connect(self) -> PgSession:
        backend = self._backend
        session = Session(backend.target, node=backend.node, lock_space=backend.lock_space)
        return await PgSession(session, self._node_parts()).open()

    def _node_parts(self) -> NodeParts:
        return NodeParts(
            self._identity,
            ProcrastinateHandOver(),
            self._declared.of,
            self._decode_for_engine,
            job_from_store,
            self._backend.lock_space,
            used_digest=lambda: self._declared.used,
        )

    def _decode_for_engine(self, rows: Sequence[StoredJob]) -> list[tuple[StoredJob, Job]]:
        rules = self.dynamic
        found = jobs_in_force(
            deque(rows),
            _decode_or_raise,
            rules.allows,
            self.logs,
            self._file_problems.left_out,
            why=rules.reason,
            now=self.clock.now().wall,
        )
        return list(found)

    # --- life ---

    def _compose(self) -> None:
        super()._compose()
        self._configuration.others = self._all_nodes = AllNodes(
            Transactions(self._backend),
            super()._read_cluster,
            self._declared,
            self.mirror,
            self._mirroring,
            self.life,
            self.files_in_force,
            self._identity,
        )

    async def _prepare(self, spawner: asyncio.Task[None]) -> list[Event] | None:
        """Return the events of the first turn; None if `--strict` refuses the files."""
        await asyncio.to_thread(prepare_queue, self._backend)
        await self._mirroring.refresh()
        self._catalogue.seed(entry.wanted for entry in self.mirror.entries.values())
        self._file_problems.note_fast_jobs(self.dynamic)
        self._file_problems.bad_rows = self._directory.restore()
        reading = await self._configuration.read()
        if self._settings.strict and reading.error_count:
            fields = {"problems": reading.error_count, "why": "--strict"}
            self.logs.emit("error", "daemon.refused", fields)
            return None
        self._configuration.reloader.recheck_after(reading)
        self._parts.api.listen()
        await asyncio.shield(spawner)
        return [ConfigLoaded(reading.wanted, reading.error_count)]

    async def _live(self, events: list[Event]) -> int:
        self._listener.start()
        self._tasks.start(self._mirroring.run(), "mirror")
        self._tasks.start(self.files_in_force.run(), "files in force")
        code = HandlerCode(self._settings.handlers_path.absolute())
        self._tasks.start(self.files_in_force.watch_code(code.digest), "code")
        self._tasks.start(self._show_first(), "first")
        self._tasks.start(self._send_what_is_left(), "left mail")
        self._tasks.start(self._queue_watch.run(), "queues")
        self._working = asyncio.create_task(self._start_worker())
        try:
            return await super()._live(events)
        finally:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)

    async def _start_worker(self) -> None:
        """Execute once the name of the node is surely its own."""
        if not self._settings.does_work:
            return
        await self.life.until_in_touch()
        try:
            await self.worker.start(self._parts.runner)
        except Exception as error:  # noqa: BLE001 - the node decides for its shards; other workers may execute
            self._tasks.note_failure("worker", error)
            self._tasks.ended.add("worker")

    async def _send_what_is_left(self) -> None:
        """Send what nodes have left that are gone, if this is the node that does the chores."""
        while True:
            await asyncio.sleep(_LEFT_S)
            with suppress(StoreUnavailableError):
                await self.delivery.start()

    async def _show_first(self) -> None:
        """Let the API begin once the jobs of the files are in force, so that each later change is one."""
        await self._is_settled.wait()
        with suppress(StoreUnavailableError):
            await self._mirroring.refresh()
        self._on_turn()

    def _on_files(self) -> None:
        self._identity.files_digest = str(self._declared.digest)
        self.files_in_force.loaded()

    async def reload(self, *, check_only: bool) -> ReloadResult:
        """Read the files now, and wait for the other nodes; with *check_only*, only return what would change."""
        result = await super().reload(check_only=check_only)
        return result if check_only else await self._all_nodes.wait(result)

    async def publish(self) -> bool:
        """Put the files that this node has read in force, whatever other nodes have."""
        await self.files_in_force.publish()
        return True

    def _allow(self, may_decide: bool) -> None:
        self._node.is_willing = may_decide and not self.mirror.is_draining

    def _on_pulse(self) -> None:
        self._identity.offset_ms = self._store_clock.offset_ms
        self.life.pulsed()
        if self.files_in_force.has_looked and self._node.is_settled:
            self._is_settled.set()
        elif not self._is_settled.is_set():
            self._notifier.extend_timeout(_START_US)

    def _on_life(self) -> None:
        if self._first_turn.is_set():
            self._on_turn()

    # --- what comes from outside ---

    @property
    def unserved(self) -> UnservedRuns:
        """The runs that wait because no worker of the store serves their queue."""
        return self._queue_watch.unserved

    def status(self) -> Mapping[str, Any]:
        """Return the part of `GET /v1/status` about this daemon and its node."""
        pulse = self._node.latest_pulse
        node = {
            "name": self._backend.node,
            "shards": len(self._engines.owned),
            "free_shards": None if pulse is None else len(pulse.free),
            "other_nodes": self._node.others,
            "failed_shards": self._node.failed_count(),
            "takeovers": self._observer.takeovers,
            "site": MAIN,
            "behind": self.files_in_force.is_behind,
            "in_touch": self._node.session is not None,
            "clock_offset_ms": self._store_clock.offset_ms,
        }
        return {**super().status(), "node": node}

    def _read_cluster(self, connection: Connection) -> Cluster:
        """Return the nodes and workers, and what waits if this is the node of the chores."""
        found = super()._read_cluster(connection)
        if not self._backend.did_chores:
            return found
        return replace(found, load=read_load(connection, self._node_settings.lost_after_ms))

    def _answer(self, reply: Reply) -> None:
        self._tasks.start(self._answer_visibly(reply), "answer")

    async def _answer_visibly(self, reply: Reply) -> None:
        """Answer once the change can be seen in this node."""
        with suppress(StoreUnavailableError):
            await self._mirroring.refresh()
        self.replies.answer(reply)

    def _on_notice(self, channel: str, words: str) -> None:
        super()._on_notice(channel, words)
        if channel == SITES_CHANNEL:
            self.files_in_force.request()
        elif channel == pg_rows.INBOX_CHANNEL and (
            not words or any(int(each) in self._engines.owned for each in words.split(","))
        ):
            self._node_loop.poke()

    def _on_changes(self, shard: int, records: Sequence[Record]) -> None:
        if shard not in self._engines.owned:
            super()._on_changes(shard, records)


def _decode_or_raise(stored: StoredJob) -> Job:
    return job_from_store(stored.definition, stored.revision, must_match=stored.creation is None)
