"""The daemon's real loop where time is virtual: what it sleeps on, and who looks over its shoulder."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from luad.core.engine import Engine
from luad.core.events import Effect, Event
from luad.core.model import Instant, Now
from luad.daemon.loop import Loop

if TYPE_CHECKING:
    from simulation.machine import Machine


class StillAlarm:
    def __init__(self) -> None:
        self.at: Instant | None = None

    def set(self, at: Instant | None) -> None:
        self.at = at

    def close(self) -> None:
        self.at = None


class VirtualLoop(Loop):
    """The real loop; only its pauses take virtual time."""

    def __init__(self, engine: Any, machine: Machine) -> None:
        super().__init__(
            engine,
            machine,
            machine,
            machine,
            on_turn=lambda: None,
            on_store=lambda _: None,
            make_alarm=lambda _: machine.alarm,
        )
        self._machine = machine

    def _may_linger(self, _: Event) -> bool:
        return False

    async def _let_others_run(self) -> None:
        pass

    async def _pause(self, seconds: float) -> None:
        self._machine.endure(seconds)


class Watched:
    """The engine, with somebody who looks over its shoulder."""

    def __init__(self, engine: Engine, machine: Machine) -> None:
        self._engine = engine
        self._machine = machine
        self.next_wake_up = engine.next_wake_up

    def handle(self, events: Sequence[Event], now: Now) -> list[Effect]:
        offered = [*self._engine._waiting, *events]
        effects = self._engine.handle(events, now)
        waiting = {id(each) for each in self._engine._waiting}
        self._machine.decided([each for each in offered if id(each) not in waiting], effects)
        return effects


class Silent:
    """A log that nobody reads."""

    def emit(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        pass


def drive(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("the loop waits for something that is not in this world")
