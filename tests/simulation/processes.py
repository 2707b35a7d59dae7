"""The processes of a simulated machine: how long they last, how they end, and what is reported of them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random  # noqa: TID251 - worlds are made of dice; the seed is the test

from luad.core.events import AttemptEnded, AttemptStarted, Event
from luad.core.model import DAY, Ending, EndKind, Instant, Job, ProcessIdentity, Run

ENDINGS = [EndKind.RETURNED] * 4 + [EndKind.RAISED, EndKind.EXITED, EndKind.SIGNALLED]
LASTS = (0, 50, 3_000, 61_000, 400_000, DAY // 4)
PIDS = 20
"""So few that they are given out again soon."""


@dataclass
class Process:
    """One attempt at work. *is_reported*: its start has been told."""

    run_id: str
    attempt: int
    identity: ProcessIdentity
    ends_at: int  # of the steady clock
    kind: EndKind
    is_reported: bool = False

    def report(self, at: Instant) -> list[Event]:
        """Return the runner's report of its end."""
        named = self.run_id, self.attempt
        code = 3 if self.kind is EndKind.EXITED else None
        ended = AttemptEnded(*named, Ending(self.kind, at, code))
        if self.is_reported or self.kind is EndKind.NOT_STARTED:
            return [ended]
        return [AttemptStarted(*named, at, self.identity), ended]


class Processes:
    """All of them, by run."""

    def __init__(self, dice: Random) -> None:
        self.table: dict[str, Process] = {}
        self.may_fail_to_start = False
        self._dice = dice
        self._count = 0

    def start(self, run: Run, job: Job, steady: int, boot_id: str) -> bool:
        """Start one; say whether its start is told at once."""
        self._count += 1
        identity = ProcessIdentity(300 + self._count % PIDS, steady // 10 + self._count, boot_id)
        kind, lasts = self._script(job)
        process = Process(run.id, run.attempt, identity, steady + lasts, kind)
        self.table[run.id] = process
        process.is_reported = kind is not EndKind.NOT_STARTED and self._dice.random() < 0.15
        return process.is_reported

    def _script(self, job: Job) -> tuple[EndKind, int]:
        """Return the future of a handler."""
        lasts, kind = self._dice.choice(LASTS), self._dice.choice(ENDINGS)
        if self.may_fail_to_start and self._dice.random() < 0.1:
            return EndKind.NOT_STARTED, 0
        if lasts >= job.timeout_ms:
            return EndKind.TIMED_OUT, job.timeout_ms + self._dice.choice([0, 700])
        return kind, lasts

    def stop(self, run_id: str, attempt: int, steady: int) -> None:
        """Let one end soon, if it is that attempt."""
        process = self.table.get(run_id)
        soon = steady + self._dice.choice([0, 500])
        if process is not None and process.attempt == attempt and soon < process.ends_at:
            process.ends_at, process.kind = soon, EndKind.CANCELLED

    def over(self, steady: int) -> list[Process]:
        """Those that have ended by *steady*, in that order."""
        over = [each for each in self.table.values() if each.ends_at <= steady]
        return sorted(over, key=lambda each: each.ends_at)

    def next_end(self) -> int | None:
        """When the next one ends."""
        return min((each.ends_at for each in self.table.values()), default=None)

    def find(self, identity: ProcessIdentity) -> Process | None:
        """Return the process of that identity; one with its pid alone is somebody else's."""
        return next((each for each in self.table.values() if each.identity == identity), None)
