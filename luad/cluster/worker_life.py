"""The life of a worker that is alone: it starts the worker, and drains it when it is told to stop.

Rule: it decides nothing. What concerns jobs is the nodes' to do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luad.core.events import (
    ConfigChanged,
    ConfigLoaded,
    DrainRequested,
    Event,
    ForgetCompleted,
    Log,
    Reply,
    Ticked,
)
from luad.core.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.cluster.mirror import Mirror
    from luad.cluster.store_clock import StoreClock
    from luad.cluster.worker import Worker
    from luad.runner.runners import Runners


class WorkerLife:
    """Implements `luad.daemon.loop.Turns` for a worker that is alone. *on_turn* is called at each sign of life."""

    def __init__(
        self,
        mirror: Mirror,
        worker: Worker,
        runner: Callable[[], Runners],
        clock: StoreClock,
        *,
        on_turn: Callable[[], None],
        answer: Callable[[Reply], None],
        log: Callable[[Log], None],
    ) -> None:
        self._mirror = mirror
        self._worker = worker
        self._runner = runner
        self._clock = clock
        self._on_turn = on_turn
        self._answer = answer
        self._log = log
        self._is_draining = asyncio.Event()
        self._is_stopped = asyncio.Event()

    @property
    def is_busy(self) -> bool:
        """Return False: events wait in the store."""
        return False

    def post(self, event: Event) -> None:
        """Do the part of *event* that concerns this process."""
        match event:
            case Ticked():
                self._mirror.advance(self._clock.now().wall)
                self._on_turn()
            case DrainRequested():
                self._begin_to_drain(event)
            case ConfigChanged(request_id=str(request_id)):
                self._answer(Reply(request_id, Plan()))  # it has no job files
            case ConfigChanged() | ConfigLoaded() | ForgetCompleted():
                pass
            case _:
                raise AssertionError(f"{type(event).__name__} goes through the inbox")

    def _begin_to_drain(self, event: DrainRequested) -> None:
        if not self._mirror.is_draining:
            self._mirror.drain()
            self._log(Log("daemon.draining", {"running": len(self._worker.running)}))
            self._is_draining.set()
        if event.is_impatient:
            self._worker.hurry()

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Start the worker, and live until a drain is over, or until `stop`."""
        del is_over
        starting = asyncio.create_task(self._start())
        draining = asyncio.create_task(self._is_draining.wait())
        stopped = asyncio.create_task(self._is_stopped.wait())
        try:
            await _first(starting, draining, stopped)
            if not starting.done():
                return
            starting.result()
            await _first(draining, stopped)
            if draining.done():
                stopping = asyncio.create_task(self._worker.stop())
                await _first(stopping, stopped)
                if stopping.done():
                    stopping.result()
        finally:
            for task in (starting, draining, stopped):
                task.cancel()
            await asyncio.gather(starting, draining, stopped, return_exceptions=True)

    async def _start(self) -> None:
        await self._worker.start(self._runner())
        self._on_turn()

    def stop(self) -> None:
        """End `run` at once; the next life of the worker reports what this one leaves."""
        self._is_stopped.set()


async def _first(*tasks: asyncio.Task[None] | asyncio.Task[bool]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
