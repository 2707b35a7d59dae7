"""Makes the history of the demonstration: weeks of runs in half a minute.

Engine, handlers and store are luad's own, and their records are those of a daemon. Two things differ: the clock
is virtual, and a handler's waiting moves it instead of taking time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.config.jobs.job_file import load_file
from luad.config.settings.daemon_settings import Settings
from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ConfigChanged,
    ConfigLoaded,
    DrainRequested,
    StartAttempt,
)
from luad.core.model import Cron, ProcessIdentity
from luad.core.requests import PauseRequested, ResumeRequested
from luad.daemon.loop import split
from luad.daemon.status import software
from luad.runner.spec import job_values, own_environment, variables_of
from luad.runner.thread_interrupt import ThreadInterrupt
from luad.sdk.job import JobCore
from luad.store import Store
from luad.testing.calls import call_handler, ending_of
from luad.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.core.events import Event, Record
    from luad.core.model import Instant, Wanted

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
STARTS_MS: Final = 40
"""How long a run needs to begin."""

OFTEN: Final = ("*", "*/2", "*/5", "*/10")
STAGES: Final = (45 * DAY, 5 * DAY, 30 * HOUR)
"""How long ago the jobs of a day, of an hour and of minutes were installed."""

CHANGED: Final = 22 * MINUTE
"""How long ago two jobs got the definitions that trouble them."""
CERTIFICATES: Final = 13 * HOUR

BEFORE: Final = {
    "billing-sync": (b"api: v3", b"api: v2"),
    "etl-load": (b"load: full", b"load: delta"),
    "certificates": (b"warn_days: 7", b"warn_days: 5"),
}
_IDENTITY: Final = ProcessIdentity(0, 0, "demo")
_CHUNK: Final = 400


class Past:
    """A luad in the past, whose runs are written to *store*."""

    def __init__(self, store: Store, clock: VirtualClock, pace: Any) -> None:
        self.store = store
        self.clock = clock
        self.engine = Engine(64, clock.now())
        self.rows = 0
        self._records: list[Record] = []
        self._logs: list[tuple[str, list[dict[str, Any]]]] = []
        self._due: list[tuple[Instant, int, Event]] = []
        self._order = itertools.count()
        self._spent_ms = 0.0
        pace.wait = self._wait
        logging.setLogRecordFactory(self._record)

    def _wait(self, seconds: float) -> None:
        self._spent_ms += seconds * 1_000

    def _record(self, *given: Any, **words: Any) -> logging.LogRecord:
        """Return a record of the virtual time."""
        record = logging.LogRecord(*given, **words)
        record.created = (self.clock.now().wall + STARTS_MS + self._spent_ms) / 1_000
        return record

    def at(self, instant: Instant, event: Event) -> None:
        """Let something happen at an instant."""
        heapq.heappush(self._due, (instant, next(self._order), event))

    async def live(self, until: Instant) -> None:
        """Go from one due instant to the next."""
        while (now := self._next(until)) is not None:
            self.clock.move_to(max(now, self.clock.now().wall))
            events = []
            while self._due and self._due[0][0] <= now:
                events.append(heapq.heappop(self._due)[2])
            await self.turn(events)
        await self.write()

    def _next(self, until: Instant) -> Instant | None:
        wanted = [self.engine.next_wake_up(), self._due[0][0] if self._due else None]
        found = min((each for each in wanted if each is not None), default=None)
        return found if found is not None and found <= until else None

    async def stop(self) -> None:
        """Stop as a service does: nothing starts any more, and what runs may end."""
        await self.turn([DrainRequested()])
        while self._due:
            at, _, event = heapq.heappop(self._due)
            self.clock.move_to(max(at, self.clock.now().wall))
            await self.turn([event])
        await self.write()

    async def turn(self, events: Sequence[Event]) -> None:
        """Let the engine decide, and carry out its effects."""
        records, actions = split(self.engine.handle(events, self.clock.now()))
        self._records += records
        for action in actions:
            if isinstance(action, StartAttempt):
                self._start(action)
        if len(self._records) >= _CHUNK:
            await self.write()

    def _start(self, action: StartAttempt) -> None:
        run, job = action.run, action.job
        self._spent_ms = 0
        values = json.loads(json.dumps(job_values(action), default=dict))
        began = self.clock.now().wall + STARTS_MS
        deadline = None if job.timeout_ms is None else began + job.timeout_ms
        variables = own_environment(job)
        variables |= variables_of(job, run.id, run.attempt, run.scheduled_for, "")
        core = JobCore(**values, started_at_ms=began, deadline_ms=deadline)
        outcome, lines = call_handler(core, job, ThreadInterrupt(), variables)
        ended = began + max(12, round(self._spent_ms))
        for line in lines:
            line["attempt"] = run.attempt
        self._logs.append((run.id, lines))
        self.at(began, AttemptStarted(run.id, run.attempt, began, _IDENTITY))
        ending = ending_of(outcome, ended, job.timeout_ms)
        self.at(ended, AttemptEnded(run.id, run.attempt, ending))

    async def write(self) -> None:
        """Write what has happened to the store."""
        records, self._records = self._records, []
        logs, self._logs = self._logs, []
        self.rows += len(records)
        await self.store.apply(records)
        for run_id, lines in logs:
            await self.store.append_logs(run_id, lines)


def wanted_jobs(folder: Path, *, is_before: bool) -> dict[str, Wanted]:
    """Return the jobs of a folder, as they are or as they were before the change."""
    settings = Settings(timezone="Europe/London")
    found: dict[str, Wanted] = {}
    for path in sorted(folder.glob("*.yaml")):
        data = path.read_bytes()
        for old, new in BEFORE.values():
            data = data.replace(old, new) if is_before else data
        parsed = load_file(str(path), data, settings=settings)
        assert not parsed.is_broken, parsed.problems
        found |= {each.job.name: each for each in parsed.jobs}
    return found


def stage_of(wanted: Wanted) -> int:
    """Return which of `STAGES` a job belongs to."""
    schedule = wanted.job.schedule
    if not isinstance(schedule, Cron):
        return 1
    minute, hour = schedule.expression.split()[:2]
    return 2 if minute in OFTEN else 1 if hour == "*" else 0


async def build(project: Path, state: Path, now: Instant) -> int:
    """Write the history of *project* until *now* into *state*; return the number of records."""
    sys.path.insert(0, str(project / "handlers"))
    import pace  # noqa: PLC0415 - a module of the project

    clock = VirtualClock(now - STAGES[0])
    before = wanted_jobs(project / "jobs.d", is_before=True)
    after = wanted_jobs(project / "jobs.d", is_before=False)
    store = Store.open(state, clock=clock)
    try:
        store.history.note_software(software(), clock.now().wall)
        past = Past(store, clock, pace)
        await past.turn([ConfigLoaded(_of_stage(before, 0))])
        past.at(now - STAGES[1], ConfigChanged(_of_stage(before, 1)))
        past.at(now - STAGES[2], ConfigChanged(_of_stage(before, 2)))
        reason = PauseRequested("p", "partner-export", "the partner moves house", "ann")
        past.at(now - 26 * HOUR, reason)
        past.at(now - 9 * HOUR, ResumeRequested("r", "partner-export"))
        past.at(now - CERTIFICATES, ConfigChanged({"certificates": after["certificates"]}))
        await past.live(now - 8 * HOUR)
        clock.move_to(clock.now().wall + 25 * MINUTE)  # the machine was down
        past.at(now - CHANGED, ConfigChanged({"billing-sync": after["billing-sync"]}))
        await past.live(now - 2 * MINUTE)
        await past.stop()
        store.note_alive(clock.now().wall)
        return past.rows
    finally:
        store.close()
        logging.setLogRecordFactory(logging.LogRecord)


def _of_stage(jobs: Mapping[str, Wanted], stage: int) -> dict[str, Wanted]:
    return {name: each for name, each in jobs.items() if stage_of(each) == stage}


def make(project: Path, state: Path, now: Instant) -> int:
    """Write the history of *project* until *now* into *state*; return the number of records."""
    return asyncio.run(build(project, state, now))
