"""The states of a run, and the transitions between them.

Rule: one table holds all transitions; a missing entry is an error. No other module compares states to find
the next one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from luad.core.model import Instant, RunState

BAD_STATES: Final = frozenset({RunState.FAILED, RunState.TIMED_OUT, RunState.LOST})
"""States of a run that has failed."""
NEVER_RAN: Final = frozenset({RunState.SKIPPED, RunState.MISSED})
"""States of an occurrence that never became a run."""


class RunEvent(StrEnum):
    """An event in the life of an open run."""

    START = "start"  # it has a slot: its process is about to be started
    WAIT = "wait"  # its next attempt is due, but no slot is free
    SUCCEED = "succeed"
    FAIL = "fail"
    TIME_OUT = "time_out"
    CANCEL = "cancel"
    LOSE = "lose"
    RETRY = "retry"  # the attempt ended badly, another one follows later
    REQUEUE = "requeue"  # a stop came before the attempt had a process: it is due again


TRANSITIONS: Final[dict[RunState, dict[RunEvent, RunState]]] = {
    RunState.QUEUED: {
        RunEvent.START: RunState.RUNNING,
        RunEvent.CANCEL: RunState.CANCELLED,
    },
    RunState.RUNNING: {
        RunEvent.SUCCEED: RunState.SUCCEEDED,
        RunEvent.FAIL: RunState.FAILED,
        RunEvent.TIME_OUT: RunState.TIMED_OUT,
        RunEvent.CANCEL: RunState.CANCELLED,
        RunEvent.LOSE: RunState.LOST,
        RunEvent.RETRY: RunState.RETRYING,
        RunEvent.REQUEUE: RunState.QUEUED,
    },
    RunState.RETRYING: {
        RunEvent.START: RunState.RUNNING,
        RunEvent.WAIT: RunState.QUEUED,
        RunEvent.CANCEL: RunState.CANCELLED,
    },
    RunState.SUCCEEDED: {},
    RunState.FAILED: {},
    RunState.TIMED_OUT: {},
    RunState.CANCELLED: {},
    RunState.LOST: {},
    RunState.SKIPPED: {},
    RunState.MISSED: {},
}


def step(state: RunState, event: RunEvent) -> RunState:
    """Return the state after *event*; asserts that the event can happen in *state*."""
    following = TRANSITIONS[state].get(event)
    assert following is not None, f"a run that is {state} cannot {event}"
    return following


def duration_ms(started: Instant | None, ended: Instant | None) -> int | None:
    """Return the duration of a run; None until it has started and ended."""
    return None if started is None or ended is None else max(0, ended - started)
