"""A daemon on a store in PostgreSQL that several share: what nodes and workers have in common.

Rule: wiring only. Questions are answered from the mirror of the store; changes go to the node that decides for the job.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from luad.cluster import pg_rows
from luad.cluster.asking import Asker
from luad.cluster.listener import Listener
from luad.cluster.mirror import Mirror
from luad.cluster.mirroring import Mirroring
from luad.cluster.node_life import Followers
from luad.cluster.own_worker import WorkerReports
from luad.cluster.procrastinate_queue import ProcrastinateHandOver
from luad.cluster.store_clock import StoreClock
from luad.cluster.worker import Worker
from luad.config.jobs.stored_jobs import job_from_store
from luad.daemon import wiring
from luad.daemon.app import Daemon
from luad.errors import StoreUnavailableError
from luad.store.postgresql.cluster_rows import read_cluster
from luad.store.postgresql.connect import CHORES, Link
from luad.store.postgresql.session import LockKind
from luad.store.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from luad.clock import Clock
    from luad.cluster.worker import WorkerParts
    from luad.config.settings.daemon_settings import Settings
    from luad.core.engine import Engine
    from luad.core.events import Record, Reply, StoredJob
    from luad.core.model import Job
    from luad.core.requests import Request
    from luad.core.state import Bounds
    from luad.daemon.run_output import OutputPump
    from luad.logs import Logging
    from luad.store import Store
    from luad.store.postgresql.node_backend import NodeBackend
    from luad.store.query_types import Cluster


class ClusterDaemon(Daemon):
    """The life of a daemon among others, and the service that its API uses."""

    _listener: Listener
    _mirroring: Mirroring

    def __init__(
        self, settings: Settings, logs: Logging, store: Store, backend: NodeBackend, clock: Clock
    ) -> None:
        self._store_clock = StoreClock(clock)
        self.mirror = Mirror(bounds(settings), clock.now(), _decode)
        super().__init__(settings, logs, store, self._store_clock)
        self._backend = backend
        self._asker = Asker(backend.target, backend.node, backend.lock_space)
        self._live_followers = Followers(self.recent_runs, self.ring, self.followers)

    def _make_engine(self, settings: Settings, clock: Clock) -> Engine:
        del settings, clock
        return self.mirror

    # --- the parts that differ from those of a daemon that is alone ---

    @abstractmethod
    def _worker_parts(self) -> WorkerParts:
        """Return the connection, the runner and the limits of the worker in this process."""

    def _decides_for(self, shard: int) -> bool:
        """Return whether this process decides for the jobs of a shard."""
        del shard
        return False

    def _make_reports(self, pump: OutputPump) -> WorkerReports:
        reports = WorkerReports(self.engine, self.logs, pump, self._post, self._secrets)
        self.worker = reports.worker = Worker(self._worker_parts())
        reports.follow = self.followers.publish
        reports.decides_for = self._decides_for
        self._reports = reports
        return reports

    def _make_mirroring(self) -> Mirroring:
        store = Transactions(self._backend)
        return Mirroring(store, self.mirror, self._store_clock, self._on_changes)

    def _make_listener(self, *channels: str) -> Listener:
        heard = [pg_rows.REPLIES_CHANNEL, pg_rows.CHANGES_CHANNEL, *channels]
        return Listener(self._backend.target, self._backend.node, heard, self._hear())

    async def _stop(self, spawner: asyncio.Task[None]) -> None:
        await asyncio.to_thread(self._listener.stop)
        await super()._stop(spawner)
        await self._asker.close()

    # --- what comes from outside ---

    async def cluster(self) -> Cluster:
        """Return the nodes and workers that share the store."""
        return await Transactions(self._backend).read(self._read_cluster)

    def _read_cluster(self, connection: Connection) -> Cluster:
        return read_cluster(connection, self._backend.lock_space)

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
        elif channel == pg_rows.REPLIES_CHANNEL and words in {"", self._backend.node}:
            self._tasks.start(self._asker.notice(), "replies")

    def _on_changes(self, shard: int, records: Sequence[Record]) -> None:
        del shard
        self._live_followers.seen(records)

    async def request(self, event: Request) -> Reply:
        """Bring *event* to the node that decides for its job; return its reply once its records are durable."""
        reply = await self._asker.ask(event)
        with suppress(StoreUnavailableError):
            await self._mirroring.refresh()
        return reply


def bounds(settings: Settings) -> Bounds:
    """Return the limits of an engine among others: any queue may have a worker."""
    return replace(wiring.bounds(settings), queues=None)


def prepare_queue(backend: NodeBackend) -> None:
    """Create Procrastinate's tables, or bring them up to date; one process at a time."""
    link = Link(backend.target, f"luad {backend.node} schema", CHORES)
    link.open()
    try:
        with link.transaction() as connection:
            query = "SELECT pg_advisory_xact_lock(%s, hashtext('queue'))"
            connection.exec_driver_sql(query, (backend.lock_space + LockKind.OTHER,))
            ProcrastinateHandOver().migrate(connection)
    finally:
        link.close()


def _decode(stored: StoredJob) -> Job | None:
    try:
        return job_from_store(stored.definition, stored.revision, must_match=False)
    except ValueError:
        return None
