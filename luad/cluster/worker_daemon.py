"""`luad worker`: a daemon that starts the runs which the nodes of a store hand over, and decides for no job.

Rule: wiring only. The start is: schema, users, mirror, socket, worker, READY. A handler's calls of the SDK come to the
socket of this process, which brings them to the nodes.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import TYPE_CHECKING

from luad.cluster.cluster_daemon import ClusterDaemon, prepare_queue
from luad.cluster.own_worker import worker_parts
from luad.cluster.worker_life import WorkerLife

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from luad.cluster.worker import WorkerParts
    from luad.config.settings.daemon_settings import Settings
    from luad.core.events import Event
    from luad.daemon.loop import Turns


class WorkerDaemon(ClusterDaemon):
    """One worker's life, and the service of its socket."""

    def _worker_parts(self) -> WorkerParts:
        return worker_parts(
            self._settings,
            self._backend.target,
            worker_name(self._settings),
            self._store_clock,
            self._on_line,
            self._secrets,
            self._settings.lost_after_ms,
            node=None,
        )

    def _make_loop(self) -> Turns:
        self._mirroring = self._make_mirroring()
        self._listener = self._make_listener()
        return WorkerLife(
            self.mirror,
            self.worker,
            lambda: self._parts.runner,
            self._store_clock,
            on_turn=self._on_turn,
            answer=self.replies.answer,
            log=self._effects.log,
        )

    async def _prepare(self, spawner: asyncio.Task[None]) -> list[Event] | None:
        """Return no events: a worker decides for no job."""
        await asyncio.to_thread(prepare_queue, self._backend)
        await self._mirroring.refresh()
        self._file_problems.bad_rows = self._directory.restore()
        reading = await self._configuration.read()
        self._configuration.reloader.recheck_after(reading)
        self._parts.api.listen()
        await asyncio.shield(spawner)
        return []

    async def _live(self, events: list[Event]) -> int:
        self._listener.start()
        self._tasks.start(self._mirroring.run(), "mirror")
        return await super()._live(events)

    def _on_line(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write a line of the worker, and note whether it is in touch with the store."""
        if event == "store.unavailable":
            self._condition.store_fault = str(fields["error"])
        elif event == "store.recovered":
            self._condition.store_fault = None
        self.logs.emit(level, event, fields)

    def status(self) -> Mapping[str, Any]:
        """Return the part of `GET /v1/status` about this process and its worker."""
        worker = {
            "name": worker_name(self._settings),
            "queues": list(self._settings.work_queues),
            "running": len(self.worker.running),
            "in_touch": self._condition.store_fault is None,
            "clock_offset_ms": self._store_clock.offset_ms,
        }
        return {**super().status(), "worker": worker}


def worker_name(settings: Settings) -> str:
    """Return the name of a worker, which others may have too."""
    return settings.node or socket.gethostname()


def connection_name(name: str) -> str:
    """Return the name under which the worker *name* asks nodes; no other process has it."""
    return f"{name} worker {secrets.token_hex(4)}"
