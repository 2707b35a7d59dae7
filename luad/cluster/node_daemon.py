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
from luad.cluster.asking import Asker
from luad.cluster.engine_set import EngineSet
from luad.cluster.listener import Listener
from luad.cluster.mirror import Mirror
from luad.cluster.mirroring import Mirroring
from luad.cluster.node import Node, NodeSettings
from luad.cluster.node_life import Declared, Followers, NodeLife, NodeObserver
from luad.cluster.node_loop import NodeLoop
from luad.cluster.own_worker import WorkerReports, worker_parts
from luad.cluster.pg_session import NodeParts, PgSession
from luad.cluster.procrastinate_queue import ProcrastinateHandOver
from luad.cluster.sites import MAIN, SITES_CHANNEL, FilesInForce
from luad.cluster.store_clock import StoreClock
from luad.cluster.worker import Worker
from luad.config.jobs.stored_jobs import job_from_store
from luad.core.events import ConfigLoaded, Event
from luad.core.shards import shard_of
from luad.daemon import wiring
from luad.daemon.app import Daemon
from luad.daemon.recovery import jobs_in_force
from luad.errors import StoreUnavailableError
from luad.store.postgresql.cluster_rows import read_cluster, read_load
from luad.store.postgresql.connect import CHORES, Link
from luad.store.postgresql.session import LockKind, Session
from luad.store.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from luad.clock import Clock
    from luad.config.settings.daemon_settings import Settings
    from luad.core.engine import Engine
    from luad.core.events import Record, Reply, StoredJob
    from luad.core.model import Job
    from luad.core.requests import Request
    from luad.core.state import Bounds
    from luad.daemon.loop import Turns
    from luad.daemon.run_output import OutputPump
    from luad.logs import Logging
    from luad.store import Store
    from luad.store.postgresql.node_backend import NodeBackend
    from luad.store.query_types import Cluster


_LEFT_S: Final = 60.0


class NodeDaemon(Daemon):
    """One node's life, and the service that its API uses."""

    life: NodeLife

    def __init__(
        self, settings: Settings, logs: Logging, store: Store, backend: NodeBackend, clock: Clock
    ) -> None:
        self._store_clock = StoreClock(clock)
        self.mirror = Mirror(_bounds(settings), clock.now(), _decode)
        super().__init__(settings, logs, store, self._store_clock)
        self._backend = backend
        self._engines = EngineSet(_bounds(settings))
        self._node_settings = NodeSettings(backend.node)
        self._identity = pg_rows.Identity(backend.node, __version__, "", MAIN)
        self._declared = Declared()
        self._asker = Asker(backend.target, backend.node, backend.lock_space)
        self._live_followers = Followers(self.recent_runs, self.ring, self.followers)
        self._working: asyncio.Task[None] | None = None

    def _make_engine(self, settings: Settings, clock: Clock) -> Engine:
        del settings, clock
        return self.mirror

    # --- the parts that differ from those of a daemon that is alone ---

    def _make_reports(self, pump: OutputPump) -> WorkerReports:
        reports = WorkerReports(self.engine, self.logs, pump, self._post, self._secrets)
        parts = worker_parts(
            self._settings,
            self._backend.target,
            self._backend.node,
            self._store_clock,
            self.logs,
            self._secrets,
            self._node_settings.lost_after_ms,
        )
        self.worker = reports.worker = Worker(parts)
        reports.follow = self.followers.publish
        reports.decides_for = lambda name: shard_of(name) in self._engines.owned
        self._reports = reports
        return reports

    def _make_loop(self) -> Turns:
        backend, clock = self._backend, self._store_clock
        observer = NodeObserver(
            self._live_followers, self._effects, self._answer, self._on_store, self._reports.let_go
        )
        node = Node(self._node_settings, self._engines, clock, observer)
        node.is_willing = False  # until the files are read
        loop = NodeLoop(node, clock, self._connect, self._on_pulse)
        self._mirroring = Mirroring(Transactions(backend), self.mirror, clock, self._on_changes)
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
            lambda: self._declared.digest,
            self._allow,
            self._effects.log,
        )
        channels = [
            pg_rows.INBOX_CHANNEL,
            pg_rows.REPLIES_CHANNEL,
            pg_rows.CHANGES_CHANNEL,
            SITES_CHANNEL,
        ]
        self._listener = Listener(backend.target, backend.node, channels, self._hear())
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

    async def _prepare(self, spawner: asyncio.Task[None]) -> list[Event] | None:
        """Return the events of the first turn; None if `--strict` refuses the files."""
        await asyncio.to_thread(_prepare_queue, self._backend)
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

    async def _live(self, events: Sequence[Event]) -> int:
        self._listener.start()
        self._tasks.start(self._mirroring.run(), "mirror")
        self._tasks.start(self.files_in_force.run(), "files in force")
        self._tasks.start(self._show_first(), "first")
        self._tasks.start(self._send_what_is_left(), "left mail")
        self._working = asyncio.create_task(self._start_worker())
        try:
            return await super()._live(events)
        finally:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)

    async def _start_worker(self) -> None:
        """Execute once the name of the node is surely its own."""
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
        """Let the API begin once the jobs of the files can be seen."""
        await self.life.until_in_touch()
        with suppress(StoreUnavailableError):
            await self._mirroring.refresh()
        self._on_turn()

    def _on_files(self, is_change: bool) -> None:
        self._identity.files_digest = str(self._declared.digest)
        self.files_in_force.request(is_change=is_change)

    def _allow(self, may_decide: bool) -> None:
        self._node.is_willing = may_decide and not self.mirror.is_draining

    def _on_pulse(self) -> None:
        self._identity.offset_ms = self._store_clock.offset_ms
        self.life.pulsed()

    def _on_life(self) -> None:
        if self._first_turn.is_set():
            self._on_turn()

    async def _stop(self, spawner: asyncio.Task[None]) -> None:
        await asyncio.to_thread(self._listener.stop)
        await super()._stop(spawner)
        await self._asker.close()

    # --- what comes from outside ---

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

    async def cluster(self) -> Cluster:
        """Return the nodes and workers that share the store, and what waits if this is the node of the chores."""
        return await Transactions(self._backend).read(self._read_cluster)

    def _read_cluster(self, connection: Connection) -> Cluster:
        found = read_cluster(connection, self._backend.lock_space)
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

    def _hear(self) -> Callable[[str, str], None]:
        """Return a function for notices, which is called in another thread."""
        loop = asyncio.get_running_loop()

        def on_notice(channel: str, words: str) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._on_notice, channel, words)

        return on_notice

    def _on_notice(self, channel: str, words: str) -> None:
        if channel == pg_rows.CHANGES_CHANNEL:
            self._mirroring.request()
        elif channel == SITES_CHANNEL:
            self.files_in_force.request()
        elif channel == pg_rows.REPLIES_CHANNEL:
            if words in {"", self._backend.node}:
                self._tasks.start(self._asker.notice(), "replies")
        elif not words or any(int(each) in self._engines.owned for each in words.split(",")):
            self._node_loop.poke()

    def _on_changes(self, shard: int, records: Sequence[Record]) -> None:
        if shard not in self._engines.owned:
            self._live_followers.seen(records)

    async def request(self, event: Request) -> Reply:
        """Bring *event* to the node that decides for its job; return its reply once its records are durable."""
        reply = await self._asker.ask(event)
        with suppress(StoreUnavailableError):
            await self._mirroring.refresh()
        return reply


def _bounds(settings: Settings) -> Bounds:
    return replace(wiring.bounds(settings), queues=None)


def _decode_or_raise(stored: StoredJob) -> Job:
    return job_from_store(stored.definition, stored.revision, must_match=stored.creation is None)


def _decode(stored: StoredJob) -> Job | None:
    try:
        return job_from_store(stored.definition, stored.revision, must_match=False)
    except ValueError:
        return None


def _prepare_queue(backend: NodeBackend) -> None:
    """Create Procrastinate's tables, or bring them up to date; one node at a time."""
    link = Link(backend.target, f"luad {backend.node} schema", CHORES)
    link.open()
    try:
        with link.transaction() as connection:
            query = "SELECT pg_advisory_xact_lock(%s, hashtext('queue'))"
            connection.exec_driver_sql(query, (backend.lock_space + LockKind.OTHER,))
            ProcrastinateHandOver().migrate(connection)
    finally:
        link.close()
