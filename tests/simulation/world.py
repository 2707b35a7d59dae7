"""A world in which the whole engine lives: a virtual clock, a store that is a dict, scripted handlers.

Everything follows from one seed. A step may load, edit or remove jobs, let time pass, let handlers end,
ask for things, step the clock, or crash the daemon at any point between deciding and doing.
"""

from __future__ import annotations

import random  # noqa: TID251 - the world is made of dice; the seed is the test
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dictstore import RECORDS, DictStore

from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    ClaimsRefused,
    ConfigLoaded,
    Deliver,
    Effect,
    Event,
    PauseRequested,
    Reply,
    ResumeRequested,
    StartAttempt,
    StopAttempt,
    StoredJob,
    Ticked,
    TriggerRequested,
)
from luad.core.model import (
    CatchUp,
    Cron,
    Ending,
    EndKind,
    Instant,
    Interval,
    Job,
    Now,
    Once,
    OnLost,
    Origin,
    Overlap,
    ProcessIdentity,
    Retry,
    RunState,
    Trigger,
    Wanted,
)

START = 1_790_000_000_000  # 2026-09-21T14:13:20Z
DEEDS = (StartAttempt, StopAttempt, Deliver, Reply)


@dataclass
class Process:
    run_id: str
    attempt: int
    ends_at: int  # of the steady clock
    ending: EndKind


@dataclass(frozen=True)
class Start:
    run_id: str
    attempt: int
    at: Instant
    fire_at: Instant
    job_name: str


class World:
    """One seed's worth of history."""

    def __init__(self, seed: int, *, with_clock_steps: bool = False) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - no secrets here
        self.with_clock_steps = with_clock_steps
        self.wall, self.elapsed = START, 5_000_000
        self.store = DictStore()
        self.wanted: dict[str, Wanted] = {}
        self.processes: dict[str, Process] = {}
        self.starts: list[Start] = []
        self.ends: dict[tuple[str, int], Instant] = {}
        self.replies: list[str] = []
        self.delivered: set[str] = set()
        self.revision = 0
        self.requests = 0
        self.crashes = 0
        self.engine = self._boot()

    # --- the clock ---

    @property
    def now(self) -> Now:
        return Now(self.wall, self.elapsed)

    def pass_time(self, ms: int) -> None:
        self.wall += ms
        self.elapsed += ms

    # --- the daemon ---

    def _boot(self) -> Engine:
        self.processes.clear()  # keepers end their runs when the daemon is gone
        engine = Engine(self.dice.choice([1, 2, 50]), self.now)
        jobs, before = self.store.restore()
        engine.restore(jobs, before, self.now)
        self.engine = engine
        self.restored()
        lost: list[Event] = [
            AttemptEnded(run.id, run.attempt, Ending(EndKind.LOST, self.wall))
            for run in before.open_runs
            if run.state is RunState.RUNNING
        ]
        self.turn([*lost, ConfigLoaded(dict(self.wanted))], may_crash=False)
        return engine

    def turn(self, events: list[Event], *, may_crash: bool = True) -> None:
        crash_at = self.dice.random() if may_crash and self.dice.random() < 0.04 else 2.0
        effects = self.engine.handle(events, self.now)
        if crash_at < 0.3:  # decided, nothing written
            self._crash()
            return
        before = {each.name: each for each in self.store.jobs.values()}
        records = [each for each in effects if isinstance(each, RECORDS)]
        refused = self.store.apply(records, self.wall)
        self.committed(before, events, effects)
        deeds = [each for each in effects if isinstance(each, DEEDS)]
        if crash_at < 1.0:  # written, a part of it done
            deeds = deeds[: int(crash_at * len(deeds))]
        for deed in deeds:
            self._do(deed, refused)
        if crash_at < 1.0:
            self._crash()
        elif refused:
            self.turn([ClaimsRefused(refused)], may_crash=False)

    def restored(self) -> None:
        """Look at an engine that has been given what the store remembers."""

    def committed(
        self, before: dict[str, StoredJob], events: Sequence[Event], effects: Sequence[Effect]
    ) -> None:
        """Look at a batch whose records are written; *before*: the jobs as they were stored then."""

    def _do(self, deed: object, refused: tuple[str, ...]) -> None:
        match deed:
            case StartAttempt(run, job):
                if run.id in refused:
                    return
                self.starts.append(Start(run.id, run.attempt, self.wall, run.fire_at, job.name))
                lasts = self.dice.choice([0, 50, 3_000, 61_000, 400_000])
                kind = self.dice.choice(
                    [EndKind.RETURNED] * 4 + [EndKind.RAISED, EndKind.TIMED_OUT, EndKind.SIGNALLED]
                )
                self.processes[run.id] = Process(run.id, run.attempt, self.elapsed + lasts, kind)
            case StopAttempt(run_id):
                if run_id in self.processes:
                    self.processes[run_id].ends_at = self.elapsed + self.dice.choice([0, 500])
                    self.processes[run_id].ending = EndKind.CANCELLED
            case Deliver(message):
                assert message.id in self.store.messages, "posted, then sent"
                self.delivered.add(message.id)
            case Reply(error=error):
                self.replies.append(error or "ok")

    def _crash(self) -> None:
        self.crashes += 1
        for process in self.processes.values():
            self.ends[(process.run_id, process.attempt)] = self.wall
        self.pass_time(self.dice.choice([1, 200, 30_000, 3_600_000, 90_000_000]))
        if self.dice.random() < 0.3:
            self._edit_files(self.dice.choice(["add", "edit", "remove"]))
        self._boot()

    # --- steps ---

    def step(self) -> None:
        deed = self.dice.random()
        if deed < 0.12:
            self._edit_files(self.dice.choice(["add", "add", "edit", "remove"]))
            self.turn([ConfigLoaded(dict(self.wanted))])
        elif deed < 0.22 and self.wanted:
            self.turn([self._some_request()])
        elif deed < 0.25 and self.with_clock_steps:
            self.wall += self.dice.choice(
                [-7_200_000, -90_000, -1_500, -400, -3, 2_000, 90_000, 3_600_000]
            )
            self.turn([Ticked()])
        elif deed < 0.35:
            self.pass_time(self.dice.choice([1, 10, 999, 45_000, 400_000, 7_300_000]))
            self.turn([Ticked()])
        else:
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        """Sleep as the daemon does: until the engine's wake-up or a process ends, 30 s at most."""
        wake_up = self.engine.next_wake_up()
        ends = min((each.ends_at for each in self.processes.values()), default=None)
        sleep = 30_000
        if wake_up is not None:
            sleep = min(sleep, wake_up - self.wall)
        if ends is not None:
            sleep = min(sleep, ends - self.elapsed)
        self.pass_time(max(0, sleep))
        over = [each for each in self.processes.values() if each.ends_at <= self.elapsed]
        events: list[Event] = []
        for process in over:
            del self.processes[process.run_id]
            self.ends[(process.run_id, process.attempt)] = self.wall
            ending = Ending(process.ending, self.wall)
            events.append(
                AttemptStarted(
                    process.run_id, process.attempt, self.wall, ProcessIdentity(1, 2, "boot")
                )
            )
            events.append(AttemptEnded(process.run_id, process.attempt, ending))
        self.turn(events or [Ticked()])

    def _some_request(self) -> Event:
        self.requests += 1
        request_id = f"req_{self.requests}"
        name = self.dice.choice(self._names())
        match self.dice.choice(["trigger", "pause", "resume", "cancel"]):
            case "trigger":
                return TriggerRequested(request_id, name, Trigger.MANUAL)
            case "pause":
                until = self.dice.choice([None, self.wall + 100_000])
                return PauseRequested(request_id, name, "because", "ann", until)
            case "resume":
                return ResumeRequested(request_id, name, self.dice.choice(["none", "one", "all"]))
            case _:
                open_ids = [run.id for run in self.engine.runs.all()]
                run_id = self.dice.choice(open_ids) if open_ids else "run_none"
                return CancelRequested(request_id, run_id)

    def _names(self) -> list[str]:
        """Return the names that requests may be about."""
        return sorted(self.wanted)

    def _edit_files(self, what: str) -> None:
        names = sorted(self.wanted)
        if what == "add" and len(names) < 6:
            self._want(f"job-{self.dice.randrange(8)}")
        elif what == "edit" and names:
            self._want(self.dice.choice(names))
        elif what == "remove" and names:
            del self.wanted[self.dice.choice(names)]

    def _want(self, name: str) -> None:
        old = self.wanted.get(name)
        job = self._make_job(name)
        if old is not None and self.dice.random() < 0.3:  # an edit that leaves the schedule alone
            job = replace(job, schedule=old.job.schedule, jitter_ms=old.job.jitter_ms)
        self.wanted[name] = Wanted(job, Origin(f"jobs.d/{name}.yaml"))

    def _make_job(self, name: str) -> Job:
        self.revision += 1
        dice = self.dice
        schedule = dice.choice(
            [
                Cron("* * * * *"),
                Cron("*/5 * * * *", "America/New_York"),
                Cron("0 * * * *"),
                Cron("30 2 * * *", "Europe/London"),
                Interval(dice.choice([1_000, 7_000, 60_000])),
                Interval(3_600_000, START),
                Once(self.wall + dice.choice([-5_000, 5_000, 600_000])),
            ]
        )
        return Job(
            name,
            "handlers:any",
            schedule,
            f"revision-{self.revision}",
            overlap=dice.choice(list(Overlap)),
            catch_up=dice.choice(list(CatchUp)),
            catch_up_window_ms=dice.choice([10_000, 3_600_000]),
            retry=Retry(dice.choice([1, 3]), dice.choice([0, 5_000]), 2.0),
            on_lost=dice.choice(list(OnLost)),
            jitter_ms=dice.choice([0, 0, 700]),
            pause_after_failures=dice.choice([None, None, 3]),
            max_running=2,
        )
