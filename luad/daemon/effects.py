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
        bind: Callable[[StartAttempt], StartAttempt] = lambda action: action,
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

    def start(self, action: StartAttempt) -> None:
        """Start the process of an attempt."""
        self._secrets.note_start(action)
        self._runner.launch(self._bind(action))

    def stop(self, action: StopAttempt) -> None:
        """Stop the process of an attempt."""
        self._runner.stop(action.run_id, action.attempt, kill=action.kill)

    def deliver(self, action: Deliver) -> None:
        """Bring a message to its user; the outcome is in the store, and in the log."""
        self._deliver(action.message)

    def reply(self, action: Reply) -> None:
        """Answer a request; one whose asker has gone is fine."""
        future = self._waiting.get(action.request_id)
        if future is not None and not future.done():
            future.set_result(action)

    def log(self, action: Log) -> None:
        """Write a line; instants are shown as people read them."""
        fields = {
            name: format_instant(value) if name in _INSTANTS and value is not None else value
            for name, value in action.fields.items()
        }
        run_id = str(fields.get("run_id", ""))
        if action.event == "run.ended":
            self._order.note(action.event, run_id)
        self._logs.emit(action.level, action.event, fields)
        if action.event == "run.started":
            self._order.note(action.event, run_id)
