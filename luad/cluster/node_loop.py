"""The life of a node: connects it, calls its steps, and begins again after any error.

Rule: the event loop sends each pulse itself, so a loop that is stuck loses its shards as a dead node does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from luad.errors import AlreadyRunningError

if TYPE_CHECKING:
    from luad.cluster.node import Node
    from luad.cluster.session import Session
    from luad.cluster.store_clock import StoreClock

PULSE_MS: Final = 1_000
JUDGE_MS: Final = 5_000
_FIRST_RETRY_S: Final = 0.5
_LONGEST_RETRY_S: Final = 5.0


class NodeLoop:
    """Drives *node*. *connect* returns an open session that holds the lock of the node's name.

    *on_pulse* is called after each pulse, and after the moves that follow it.
    """

    def __init__(
        self,
        node: Node,
        clock: StoreClock,
        connect: Callable[[], Awaitable[Session]],
        on_pulse: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_pulse = on_pulse
        self._node = node
        self._clock = clock
        self._connect = connect
        self._work = asyncio.Event()
        self._has_rows = False
        self._is_stopping = False
        self._delay_s = _FIRST_RETRY_S
        self._pulse_at = self._judge_at = 0

    def poke(self) -> None:
        """Turn soon: a row has come into the inbox, or an event was posted."""
        self._has_rows = True
        self._work.set()

    def stop(self) -> None:
        """Give all shards in order, then end `run`."""
        self._is_stopping = True
        self._node.is_willing = False
        self._pulse_at = 0
        self._work.set()

    async def run(self) -> None:
        """Live until `stop`; while the store is away, try again and again.

        Raises AlreadyRunningError if another node has had the name for too long when this one starts.
        """
        was_connected = False
        while True:
            try:
                self._node.connect(await self._connect())
                was_connected = True
                self._pulse_at = self._judge_at = 0
                await self._live()
            except AlreadyRunningError as error:
                if not was_connected:
                    raise
                await self._node.fail(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the node forgets and begins again
                await self._node.fail(error)
            else:
                return
            if self._is_stopping:
                return  # the session is gone, and its locks with it
            await self._wait(self._delay_s * 1_000)
            self._delay_s = min(2 * self._delay_s, _LONGEST_RETRY_S)

    async def _live(self) -> None:
        node = self._node
        while True:
            if self._elapsed() >= self._pulse_at:
                await self._pulse()
            if self._is_stopping and not node.engines.owned:
                await node.leave()
                return
            if self._has_rows or node.engines.due(self._clock.now()):
                self._has_rows = await node.turn()
                self._delay_s = _FIRST_RETRY_S
            if not self._has_rows:
                await self._wait(self._idle_ms())

    async def _pulse(self) -> None:
        """Pulse, move as long as there is something to take, and judge now and then."""
        node = self._node
        pulse = await node.pulse()
        self._has_rows |= pulse.inbox is not None and pulse.inbox[0] in node.engines.owned
        while await node.move():
            if node.engines.due(self._clock.now()):
                await node.turn()  # many shards take a while
            await node.pulse()
        elapsed = self._elapsed()
        self._pulse_at = elapsed + PULSE_MS
        if elapsed >= self._judge_at:
            self._judge_at = elapsed + JUDGE_MS
            self._has_rows |= await node.judge() > 0
        self._on_pulse()

    def _elapsed(self) -> int:
        return self._clock.machine_now().elapsed

    def _idle_ms(self) -> int:
        """Return how long nothing is to do."""
        idle_ms = self._pulse_at - self._elapsed()
        wake_up = self._node.engines.next_wake_up()
        if wake_up is not None:
            idle_ms = min(idle_ms, wake_up - self._clock.now().wall)
        return max(0, idle_ms)

    async def _wait(self, ms: float) -> None:
        self._work.clear()
        if ms <= 0:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(ms / 1_000):
                await self._work.wait()
