"""Carries out the engine's deeds.

Room rule: nothing here decides, blocks or raises.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from luad.core.events import Deliver, Log, Reply, StartAttempt, StopAttempt
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.core.messaging import Message
    from luad.daemon.masking import Secrets
    from luad.daemon.run_output import LineOrder
    from luad.logs import Logging
    from luad.runner.runner import Runner

_INSTANTS: Final = frozenset({"scheduled_for", "retry_at", "until", "last_seen"})


class DaemonHands:
    """The runner starts and stops, futures answer, the log is written. *bind* adds to an attempt what
    its handler is bound to."""

    def __init__(
        self,
        runner: Runner,
        logs: Logging,
        order: LineOrder,
        deliver: Callable[[Message], None],
        secrets: Secrets,
        bind: Callable[[StartAttempt], StartAttempt] = lambda deed: deed,
    ) -> None:
        self._bind = bind
        self._runner = runner
        self._secrets = secrets
        self._logs = logs
        self._order = order
        self._deliver = deliver
        self._waiting: dict[str, asyncio.Future[Reply]] = {}

    def expect_reply(self, request_id: str) -> asyncio.Future[Reply]:
        """Return a future for the answer to a request that is about to be handed in."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        future.add_done_callback(lambda _: self._waiting.pop(request_id, None))
        return future

    def start(self, deed: StartAttempt) -> None:
        """Start the process of an attempt."""
        self._secrets.note_start(deed)
        self._runner.launch(self._bind(deed))

    def stop(self, deed: StopAttempt) -> None:
        """Stop the process of an attempt."""
        self._runner.stop(deed.run_id, deed.attempt, kill=deed.kill)

    def deliver(self, deed: Deliver) -> None:
        """Bring a message to its user; the outcome is in the store, and in the log."""
        self._deliver(deed.message)

    def reply(self, deed: Reply) -> None:
        """Answer a request; one whose asker has gone is fine."""
        future = self._waiting.get(deed.request_id)
        if future is not None and not future.done():
            future.set_result(deed)

    def log(self, deed: Log) -> None:
        """Write a line; instants are shown as people read them."""
        fields = {
            name: format_instant(value) if name in _INSTANTS and value is not None else value
            for name, value in deed.fields.items()
        }
        run_id = str(fields.get("run_id", ""))
        if deed.event == "run.ended":
            self._order.note(deed.event, run_id)
        self._logs.emit(deed.level, deed.event, fields)
        if deed.event == "run.started":
            self._order.note(deed.event, run_id)
