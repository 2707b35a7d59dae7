"""A world in which the whole engine lives: a virtual clock, a store that is a dict, scripted handlers.

Everything follows from one seed. A step may load, edit or remove jobs, let time pass, let handlers end,
ask for things, step the clock, or crash the daemon at any point between deciding and doing.
"""

from __future__ import annotations

import random  # noqa: TID251 - the world is made of dice; the seed is the test
from collections import defaultdict
from dataclasses import dataclass, field, replace

from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    ClaimRun,
    ClaimsRefused,
    ConfigLoaded,
    Event,
    ExtendSkip,
    InstallJob,
    PauseRequested,
    RecordSkip,
    RemoveJob,
    Reply,
    Restored,
    ResumeRequested,
    SaveProgress,
    SaveRun,
    StartAttempt,
    StopAttempt,
    StoredJob,
    Ticked,
    TriggerRequested,
)
from luad.core.model import (
    OPEN_STATES,
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
    Overlap,
    ProcessIdentity,
    Retry,
    Run,
    RunState,
    Skip,
    Trigger,
    Wanted,
)

START = 1_790_000_000_000  # 2026-09-21T14:13:20Z
UNIQUE = {Trigger.SCHEDULE, Trigger.CATCHUP}
DEEDS = (StartAttempt, StopAttempt, Reply)


@dataclass
class Period:
    """A job was in force with one schedule, from just after *after* to *until*."""

    job_id: str
    job: Job
    after: Instant
    until: Instant | None = None
    grid_at: Instant = 0
    handled_until: Instant = 0

    def note(self, jobs: dict[str, StoredJob]) -> None:
        row = jobs.get(self.job_id)
        if row is not None and self.until is None:
            self.grid_at = row.progress.grid_at
            self.handled_until = row.progress.handled_until


@dataclass
class DictStore:
    """What a store promises, said with dicts."""

    jobs: dict[str, StoredJob] = field(default_factory=dict)
    definitions: dict[str, Job] = field(default_factory=dict)  # revision -> job
    runs: dict[str, Run] = field(default_factory=dict)
    skips: dict[str, tuple[RecordSkip, Skip]] = field(default_factory=dict)
    taken: set[tuple[str, Instant]] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    last_seen: Instant | None = None
    periods: dict[str, list[Period]] = field(default_factory=lambda: defaultdict(list))

    def apply(self, records: list[object], now: Instant) -> tuple[str, ...]:
        refused = [run_id for each in records if (run_id := self._write(each))]
        self.last_seen = now
        for periods in self.periods.values():
            periods[-1].note(self.jobs)
        return tuple(refused)

    def _write(self, record: object) -> str | None:  # noqa: PLR0912 - one case a record
        match record:
            case InstallJob(job_id, job, origin, at):
                old = self.jobs.get(job_id)
                progress = old.progress if old else SaveProgress(job_id, at, at, 0, None)
                self.definitions[job.revision] = job
                self._note_period(job_id, job, at)
                self.jobs[job_id] = StoredJob(
                    job_id, job.name, {}, job.revision, origin, at, progress
                )
            case RemoveJob(job_id, _, at):
                del self.jobs[job_id]
                self.periods[job_id][-1].until = at
            case SaveProgress(job_id):
                self.jobs[job_id] = replace(self.jobs[job_id], progress=record)
            case ClaimRun(run):
                key = (run.job_id, run.scheduled_for)
                if run.trigger in UNIQUE and key in self.taken:
                    self.refused.add(run.id)
                    return run.id
                if run.trigger in UNIQUE:
                    self.taken.add(key)
                assert run.id not in self.runs, "an id is used once"
                self.runs[run.id] = run
            case SaveRun(run):
                if run.id in self.refused:
                    return None
                old_run = self.runs[run.id]
                assert old_run.state in OPEN_STATES, "a terminal row never changes"
                assert old_run.attempt <= run.attempt
                self.runs[run.id] = run
            case RecordSkip(row_id, _, job_id, _, skip):
                if (job_id, skip.last) in self.taken:
                    self.refused.add(row_id)
                    return None
                self.taken.add((job_id, skip.last))
                self.skips[row_id] = (record, skip)
            case ExtendSkip(row_id, skip):
                if row_id in self.refused:
                    return None
                first, old_skip = self.skips[row_id]
                self.taken.discard((first.job_id, old_skip.last))
                self.taken.add((first.job_id, skip.last))
                self.skips[row_id] = (first, skip)
            case _:
                raise AssertionError(record)
        return None

    def _note_period(self, job_id: str, job: Job, at: Instant) -> None:
        periods = self.periods[job_id]
        if periods and periods[-1].job.schedule == job.schedule:
            return
        after = at
        if periods:
            periods[-1].until = at
        elif isinstance(job.schedule, Once):
            after = min(at, job.schedule.execute_at - 1)
        periods.append(Period(job_id, job, after))

    def restore(self) -> tuple[list[tuple[StoredJob, Job]], Restored]:
        jobs = [(each, self.definitions[each.revision]) for each in self.jobs.values()]
        open_runs = tuple(run for run in self.runs.values() if run.state in OPEN_STATES)
        return jobs, Restored(tuple(each for each, _ in jobs), open_runs, self.last_seen)


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
        refused = self.store.apply(
            [each for each in effects if not isinstance(each, (*DEEDS,)) and _is_record(each)],
            self.wall,
        )
        deeds = [each for each in effects if isinstance(each, DEEDS)]
        if crash_at < 1.0:  # written, a part of it done
            deeds = deeds[: int(crash_at * len(deeds))]
        for deed in deeds:
            self._do(deed, refused)
        if crash_at < 1.0:
            self._crash()
        elif refused:
            self.turn([ClaimsRefused(refused)], may_crash=False)

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
        name = self.dice.choice(sorted(self.wanted))
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

    def _edit_files(self, what: str) -> None:
        names = sorted(self.wanted)
        if what == "add" and len(names) < 6:
            self._want(f"job-{self.dice.randrange(8)}")
        elif what == "edit" and names:
            self._want(self.dice.choice(names))
        elif what == "remove" and names:
            del self.wanted[self.dice.choice(names)]

    def _want(self, name: str) -> None:
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
        job = Job(
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
        old = self.wanted.get(name)
        if old is not None and dice.random() < 0.3:  # an edit that leaves the schedule alone
            job = replace(job, schedule=old.job.schedule, jitter_ms=old.job.jitter_ms)
        self.wanted[name] = Wanted(job)


def _is_record(effect: object) -> bool:
    return isinstance(
        effect,
        (InstallJob, RemoveJob, SaveProgress, ClaimRun, SaveRun, RecordSkip, ExtendSkip),
    )
