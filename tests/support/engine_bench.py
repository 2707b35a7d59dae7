"""An engine on a bench: a clock that is moved by hand, and what came out, by kind."""

from __future__ import annotations

from typing import Literal, TypeVar

from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ClaimRun,
    ConfigLoaded,
    Effect,
    Event,
    RecordSkip,
    Reply,
    Restored,
    SaveProgress,
    StartAttempt,
    StoredJob,
    Ticked,
)
from luad.core.model import (
    Creation,
    Ending,
    EndKind,
    Interval,
    Job,
    Now,
    ProcessIdentity,
    Run,
    Schedule,
    Wanted,
)
from luad.core.requests import AnswerKey, Created, CreateRequested, NewJob
from luad.core.state import Bounds
from support.recounted_index import check_index

T = TypeVar("T")
START = 1_790_035_200_000  # 2026-09-22T00:00:00Z


def make_job(name: str = "tick", schedule: Schedule | None = None, **fields: object) -> Job:
    """A job; its revision follows from everything that is said here."""
    schedule = schedule or Interval(60_000)
    revision = f"{schedule}{sorted(fields.items(), key=str)}"
    return Job(name, "h:f", schedule, revision, **fields)  # type: ignore[arg-type]


class Bench:
    """Feeds an engine. Times are seconds after START."""

    def __init__(self, *jobs: Job, bounds: Bounds | None = None) -> None:
        self.wall, self.elapsed = START, 777_000
        self.bounds = bounds or Bounds(100)
        self.engine = Engine(self.bounds, self.now)
        self.effects: list[Effect] = []
        self.request_count = 0
        self.load(*jobs)

    @property
    def now(self) -> Now:
        return Now(self.wall, self.elapsed)

    def feed(self, *events: Event) -> list[Effect]:
        new = self.engine.handle(events, self.now)
        self.effects += new
        check_index(self.engine)
        return new

    def load(self, *jobs: Job) -> list[Effect]:
        return self.feed(ConfigLoaded({job.name: Wanted(job) for job in jobs}))

    def restart(
        self,
        *,
        is_reversed: bool = False,
        last_seen: int | None = None,
        first: Event | None = None,
    ) -> None:
        """Go on with a new engine that was given what a store would give back.

        What was claimed in one instant comes back in any order: *is_reversed*. *last_seen*: what the
        clock showed when the previous engine was there, if it shows something else now. *first*: the first
        event, if it is not a load of the files as they were.
        """
        rows = []
        for entry in self.engine.entries.values():
            progress = SaveProgress(
                entry.job_id,
                entry.grid_at,
                entry.handled_until,
                entry.consecutive_failures,
                entry.pause,
                entry.overlay,
                entry.alert,
                entry.consecutive_stops,
            )
            row = StoredJob(
                entry.job_id,
                entry.job.name,
                {},
                "",
                entry.wanted.origin,
                entry.installed_at,
                progress,
                entry.wanted.creation,
                entry.standing,
            )
            rows.append((row, entry.job))
        open_runs = self.engine.runs.all()[:: -1 if is_reversed else 1]
        before = Restored(open_runs=tuple(open_runs), last_seen=last_seen or self.wall)
        self.engine = Engine(self.bounds, self.now)
        self.engine.restore(rows, before, self.now)
        if first is None:
            self.load(*(job for row, job in rows if row.creation is None))
        else:
            self.feed(first)

    def create(
        self,
        job: Job,
        if_exists: Literal["error", "keep", "replace"] = "error",
        *,
        pause_reason: str | None = None,
        key: AnswerKey | None = None,
        run_id: str | None = None,
    ) -> Created:
        """Ask for a dynamic job."""
        wanted = Wanted(job, creation=Creation(self.wall, "ann", run_id))
        self.request_count += 1
        request_id = f"create-{self.request_count}"
        self.feed(CreateRequested(request_id, (NewJob(wanted, if_exists, pause_reason),), key))
        created: Created = self.reply().value[0]
        return created

    def go_to(self, seconds: float) -> list[Effect]:
        """Move both clocks and tick."""
        ms = START + int(seconds * 1_000) - self.wall
        self.wall += ms
        self.elapsed += ms
        return self.feed(Ticked())

    def step_clock(self, seconds: float) -> list[Effect]:
        """Move only the wall clock."""
        self.wall += int(seconds * 1_000)
        return self.feed(Ticked())

    def end(self, run: Run, kind: EndKind = EndKind.RETURNED, attempt: int = 1) -> list[Effect]:
        identity = ProcessIdentity(1, 2, "boot")
        return self.feed(
            AttemptStarted(run.id, attempt, self.wall, identity),
            AttemptEnded(run.id, attempt, Ending(kind, self.wall)),
        )

    # --- what came out ---

    def started(self) -> list[Run]:
        return [each.run for each in self.all(StartAttempt)]

    def starts_at(self) -> list[float]:
        """The seconds for which runs were started."""
        return [(run.scheduled_for - START) / 1_000 for run in self.started()]

    def skips(self) -> list[tuple[str, float, float, int]]:
        return [
            (
                each.skip.reason.value,
                (each.skip.first - START) / 1_000,
                (each.skip.last - START) / 1_000,
                each.skip.count,
            )
            for each in self.all(RecordSkip)
        ]

    def claims(self) -> list[Run]:
        return [each.run for each in self.all(ClaimRun)]

    def reply(self) -> Reply:
        return self.all(Reply)[-1]

    def all(self, kind: type[T]) -> list[T]:
        return [each for each in self.effects if isinstance(each, kind)]
