"""The one loop that owns the engine.

A turn takes all waiting events, calls the engine once, stores all records in one transaction, and only then
carries out the other effects. So a run is claimed before it starts. While the store cannot be written, the loop
stays in that transaction: nothing new starts, no time is handled, and reports of ended runs wait in memory.

Reports of the runner may wait some milliseconds, so that runs share a turn and a commit; claims never wait for them. A
turn takes a portion of the events, and the engine a portion of what is due, so that a herd does not hold the loop.

Rule: this module is the only caller of `Engine.handle`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from luad.clock import Clock
from luad.core.engine import Engine
from luad.core.events import (
    Action,
    AttemptEnded,
    AttemptStarted,
    ClaimsRefused,
    Deliver,
    Effect,
    Event,
    Log,
    Record,
    ReleaseOutput,
    Reply,
    StartAttempt,
    StopAttempt,
)
from luad.core.model import Instant
from luad.daemon.alarm import Alarm
from luad.errors import StoreUnavailableError

_FIRST_RETRY_S: Final = 0.05
_LONGEST_RETRY_S: Final = 5.0

LINGER_S: Final = 0.005
"""The longest time that a report waits for others."""

PORTION: Final = 100
"""The largest number of events that one turn takes."""

_ACTIONS: Final = 50
"""After so many effects, a turn lets other tasks run."""


class Recorder(Protocol):
    """Makes records durable."""

    async def apply(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Write the records in one durable transaction; return the ids of refused claims."""
        ...


class Effects(Protocol):
    """Carries out the effects that are not records. No method may block or raise."""

    def start(self, action: StartAttempt) -> None:
        """Start the process of an attempt."""
        ...

    def stop(self, action: StopAttempt) -> None:
        """Stop the process of an attempt."""
        ...

    def deliver(self, action: Deliver) -> None:
        """Send a message to its user."""
        ...

    def reply(self, action: Reply) -> None:
        """Answer a request."""
        ...

    def release_output(self, action: ReleaseOutput) -> None:
        """Log the output of a run that was held back."""
        ...

    def log(self, action: Log) -> None:
        """Write a line."""
        ...


class Wakes(Protocol):
    """Wakes the loop at an instant of the wall clock."""

    def set(self, at: Instant | None) -> None:
        """Ring at *at*; None sets no instant."""
        ...

    def close(self) -> None:
        """Cancel the alarm."""
        ...


class Turns(Protocol):
    """A loop that takes events until a caller stops it."""

    @property
    def is_busy(self) -> bool:
        """True while an event waits or is being handled."""
        ...

    def post(self, event: Event) -> None:
        """Add an event for the next turn; call this on the event loop."""
        ...

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Turn until *is_over* is true after a turn, or until `stop`."""
        ...

    def stop(self) -> None:
        """End `run` soon."""
        ...


class Loop:
    """Feeds events to the engine and carries out its effects.

    *on_turn* is called after every turn, for the watchdog and the status line. *on_store* is called
    with an error message when the store fails, and with None once it works again. *make_alarm* gets
    the function that the alarm calls; tests pass an alarm of virtual time.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        recorder: Recorder,
        effects: Effects,
        *,
        on_turn: Callable[[], None],
        on_store: Callable[[str | None], None],
        make_alarm: Callable[[Callable[[], None]], Wakes] = Alarm,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._recorder = recorder
        self._effects = effects
        self._on_turn = on_turn
        self._on_store = on_store
        self._inbox: list[Event] = []
        self._work = asyncio.Event()
        self._is_urgent = False  # an event waits that may not linger
        self._lingering: asyncio.TimerHandle | None = None
        self._alarm = make_alarm(self._work.set)
        self._is_stopped = False
        self._is_turning = False

    @property
    def is_busy(self) -> bool:
        """True while an event waits or is being handled."""
        return bool(self._inbox) or self._is_turning

    def post(self, event: Event) -> None:
        """Add an event for the next turn; call this on the event loop."""
        self._inbox.append(event)
        if self._is_urgent or not self._may_linger(event):
            self._is_urgent = True
            self._work.set()
        elif self._lingering is None:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(LINGER_S, self._end_lingering)

    def _may_linger(self, event: Event, /) -> bool:
        """Return whether *event* may wait for others: a start, or an end that no run waits for."""
        if len(self._inbox) >= PORTION:
            return False
        runs = self._engine.runs
        if isinstance(event, AttemptEnded):
            return runs.open_count_of_all > 1 and not runs.is_any_waiting
        return isinstance(event, AttemptStarted)

    def _end_lingering(self) -> None:
        self._lingering = None
        self._work.set()

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Turn until *is_over* is true after a turn, or until `stop`."""
        while not self._is_stopped:
            await self._work.wait()
            self._work.clear()
            self._is_turning = True
            await self._turn(self._take())
            self._is_turning = False
            if not self._inbox and is_over():
                break
        self._alarm.close()

    def _take(self) -> list[Event]:
        """Take a portion of the waiting events."""
        taken, self._inbox = self._inbox[:PORTION], self._inbox[PORTION:]
        self._is_urgent = bool(self._inbox)
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        return taken

    def stop(self) -> None:
        """End `run` after the present turn, even while the store cannot be written."""
        self._is_stopped = True
        self._work.set()

    async def _turn(self, events: Sequence[Event]) -> None:
        effects = self._engine.handle(events, self._clock.now())
        records, actions = split(effects)
        refused = await self._store(records)
        if refused:
            self.post(ClaimsRefused(refused))
        for number, action in enumerate(actions, 1):
            self._carry_out(action, refused)
            if not number % _ACTIONS:
                await self._let_others_run()
        self._set_alarm(self._engine.next_wake_up())
        self._on_turn()

    async def _let_others_run(self) -> None:
        await asyncio.sleep(0)

    async def _store(self, records: list[Record]) -> tuple[str, ...]:
        """Write *records*, again and again until the store accepts them."""
        if not records:
            return ()
        delay_s = 0.0
        while True:  # at least one attempt, even after `stop`
            try:
                refused = await self._recorder.apply(records)
            except StoreUnavailableError as error:
                self._on_store(error.message)
                delay_s = min(max(_FIRST_RETRY_S, 2 * delay_s), _LONGEST_RETRY_S)
                self._on_turn()  # the watchdog must not restart a loop that only waits for the store
                await self._pause(delay_s)
                if self._is_stopped:
                    message = "stopped while the store could not be written"
                    raise StoreUnavailableError(message) from error
            else:
                if delay_s:
                    self._on_store(None)
                return refused

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wait_for_stop(), seconds)

    async def _wait_for_stop(self) -> None:
        while not self._is_stopped:
            self._work.clear()
            await self._work.wait()

    def _carry_out(self, action: Action, refused: tuple[str, ...]) -> None:
        match action:
            case StartAttempt():
                if action.run.id not in refused:
                    self._effects.start(action)
            case StopAttempt():
                self._effects.stop(action)
            case Deliver():
                self._effects.deliver(action)
            case Reply():
                self._effects.reply(action)
            case ReleaseOutput():
                self._effects.release_output(action)
            case Log():
                self._effects.log(action)

    def _set_alarm(self, at: Instant | None) -> None:
        if self._inbox and (self._is_urgent or self._lingering is None):
            self._work.set()
        else:
            self._alarm.set(at)


def split(effects: Sequence[Effect]) -> tuple[list[Record], list[Action]]:
    """Return the records, and the other effects, each in order."""
    records: list[Record] = []
    actions: list[Action] = []
    for effect in effects:
        if isinstance(effect, (StartAttempt, StopAttempt, Deliver, Reply, ReleaseOutput, Log)):
            actions.append(effect)
        else:
            records.append(effect)
    return records, actions
