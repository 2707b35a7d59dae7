"""Carries out the effects of the engine that are not records.

Rule: nothing here decides, blocks or raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.core.events import (
    Deliver,
    Log,
    LoggedInstant,
    ReleaseOutput,
    Reply,
    StartAttempt,
    StopAttempt,
)
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.core.messaging import Message
    from luad.daemon.masking import SecretMask
    from luad.daemon.replies import Replies
    from luad.daemon.run_output import LineOrder
    from luad.logs import Logging
    from luad.runner.runners import Runners


class DaemonEffects:
    """Implements `luad.daemon.loop.Effects` with the runner, the log and the waiting requests.

    *bind* adds to an attempt the rules that its handler is bound to.
    """

    def __init__(
        self,
        runner: Runners,
        logs: Logging,
        order: LineOrder,
        replies: Replies,
        deliver: Callable[[Message], None],
        secrets: SecretMask,
        bind: Callable[[StartAttempt], StartAttempt],
    ) -> None:
        self._bind = bind
        self._runner = runner
        self._secrets = secrets
        self._logs = logs
        self._order = order
        self._replies = replies
        self._deliver = deliver

    def start(self, action: StartAttempt) -> None:
        """Start the process of an attempt."""
        self._secrets.note_start(action)
        self._runner.launch(self._bind(action))

    def stop(self, action: StopAttempt) -> None:
        """Stop the process of an attempt."""
        self._runner.stop(action.run_id, action.attempt, kill=action.kill)

    def deliver(self, action: Deliver) -> None:
        """Send a message to its user; the store and the log tell the outcome."""
        self._deliver(action.message)

    def reply(self, action: Reply) -> None:
        """Answer a request."""
        self._replies.answer(action)

    def release_output(self, action: ReleaseOutput) -> None:
        """Log the output of a run that waited for the line that announces the run."""
        self._order.release(action.run_id, is_last=action.is_last)

    def log(self, action: Log) -> None:
        """Write a line to the daemon's log, with its instants as RFC 3339."""
        fields = {
            name: format_instant(value) if isinstance(value, LoggedInstant) else value
            for name, value in action.fields.items()
        }
        self._logs.emit(action.level, action.event, fields)
