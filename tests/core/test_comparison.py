"""Jobs of the previous daemon run before all files are compared, but none before its own file is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import pytest
from support.engine_bench import START, Bench, make_job

from luad.core.events import (
    AttemptEnded,
    ConfigChanged,
    DrainRequested,
    Event,
    FilesCompared,
    JobsRestored,
    RecordSkip,
    Reply,
    StartAttempt,
    Ticked,
)
from luad.core.installed import Pause
from luad.core.model import (
    HOUR,
    MINUTE,
    Cron,
    Ending,
    EndKind,
    Interval,
    Job,
    Once,
    Origin,
    Reason,
    RunState,
    Trigger,
    Wanted,
)
from luad.core.requests import ResumeRequested, RetryRequested, TriggerRequested

HOURLY: Final = Interval(HOUR)


class Restarted(Bench):
    """A bench whose engine was started again, and whose files are not all compared."""

    def __init__(self, *jobs: Job, compared: Collection[str] = (), away_s: int = 0) -> None:
        super().__init__()
        self.files: Mapping[str, Wanted] = {
            job.name: Wanted(job, Origin(f"{job.name}.yaml")) for job in jobs
        }
        self.load_files()
        self.wall += away_s * 1_000
        self.elapsed += away_s * 1_000
        self.effects.clear()
        self.restart(first=JobsRestored(compared))

    def load_files(self) -> None:
        self.feed(ConfigChanged(self.files))

    def started(self) -> list[str]:
        """The jobs that were started since the restart, in order."""
        return [each.run.job_name for each in self.effects if isinstance(each, StartAttempt)]

    def rows(self) -> list[tuple[str, RunState, Reason]]:
        skips = (each for each in self.effects if isinstance(each, RecordSkip))
        return [(each.job_name, each.skip.state, each.skip.reason) for each in skips]

    def replies(self) -> dict[str, str | None]:
        return {each.request_id: each.error for each in self.effects if isinstance(each, Reply)}


def test_what_is_due_starts_once_its_own_file_is_compared() -> None:
    bench = Restarted(make_job("a", HOURLY), make_job("b", HOURLY), compared=["a"])
    bench.go_to(3600)
    assert bench.started() == ["a"]
    assert {bench.engine.find(each).job.name for each in bench.engine.held} == {"b"}
    bench.go_to(3601)
    bench.feed(FilesCompared(["b"]))
    assert bench.started() == ["a", "b"]
    assert not bench.engine.held
    assert not bench.engine.uncompared
    assert {run.scheduled_for for run in bench.engine.runs.all()} == {START + HOUR}


def test_an_occurrence_of_the_downtime_is_decided_after_the_comparison() -> None:
    none = make_job("none", HOURLY, catch_up_window_ms=MINUTE)
    bench = Restarted(none, make_job("late", HOURLY), away_s=3600 + 120)
    assert (bench.started(), bench.rows()) == ([], [])
    bench.feed(FilesCompared())
    assert bench.started() == ["late"]
    assert bench.rows() == [("none", RunState.MISSED, Reason.DOWNTIME)]


@pytest.mark.parametrize("schedule", [HOURLY, Cron("0 * * * *"), Once(START + HOUR)])
def test_a_job_whose_file_went_while_luad_was_down_never_starts(schedule: Once | Cron) -> None:
    bench = Restarted(make_job("a", schedule), away_s=3600 + 5)
    bench.feed(TriggerRequested("r", "a", Trigger.MANUAL))
    bench.feed(Ticked())
    bench.feed(ConfigChanged({"a": None}), FilesCompared())
    bench.go_to(3 * 3600)
    assert bench.started() == []
    assert bench.rows() == [("a", RunState.SKIPPED, Reason.REMOVED)]
    assert bench.replies()["r"] == "not_found"


def test_a_job_that_was_changed_while_luad_was_down_starts_as_it_is_now() -> None:
    job = make_job("a", HOURLY)
    bench = Restarted(job, away_s=3600 + 5)
    changed = make_job("a", HOURLY, timeout_ms=1)
    bench.feed(ConfigChanged({"a": Wanted(changed, Origin("a.yaml"))}))
    (run,) = bench.engine.runs.all()
    assert run.revision == changed.revision != job.revision


def test_a_changed_schedule_never_fires_the_downtime() -> None:
    bench = Restarted(make_job("a", HOURLY), away_s=3600 + 5)
    changed = make_job("a", Interval(2 * HOUR))
    bench.feed(ConfigChanged({"a": Wanted(changed, Origin("a.yaml"))}), FilesCompared())
    assert bench.started() == []
    assert bench.rows() == [("a", RunState.MISSED, Reason.DOWNTIME)]


@pytest.mark.parametrize("kind", ["trigger", "retry", "resume"])
def test_a_request_to_run_waits_for_the_file_and_is_answered_once(kind: str) -> None:
    bench = Bench()
    bench.feed(ConfigChanged({"a": Wanted(make_job("a", HOURLY), Origin("a.yaml"))}))
    bench.go_to(3600)
    (run,) = bench.engine.runs.all()
    bench.feed(AttemptEnded(run.id, 1, Ending(EndKind.RAISED, bench.wall)))
    entry = bench.engine.find("a")
    assert entry is not None
    entry.pause = Pause(bench.wall, "", "ann")
    bench.go_to(2 * 3600)
    bench.restart(first=JobsRestored([]))
    bench.effects.clear()
    request: Event = {
        "trigger": TriggerRequested("r", "a", Trigger.MANUAL),
        "retry": RetryRequested("r", run),
        "resume": ResumeRequested("r", "a", "one"),
    }[kind]
    bench.feed(request)
    assert [each for each in bench.effects if isinstance(each, StartAttempt | Reply)] == []
    bench.feed(FilesCompared(["a"]))
    assert sum(isinstance(each, StartAttempt) for each in bench.effects) == 1
    assert [each.error for each in bench.effects if isinstance(each, Reply)] == [None]


def test_a_pause_that_ends_before_the_comparison_skips_what_was_due_within_it() -> None:
    bench = Bench()
    bench.feed(ConfigChanged({"a": Wanted(make_job("a", HOURLY), Origin("a.yaml"))}))
    entry = bench.engine.find("a")
    assert entry is not None
    entry.pause = Pause(bench.wall, "", "ann", until=START + HOUR + MINUTE)
    bench.restart(first=JobsRestored([]))
    bench.go_to(3600 + 120)
    bench.effects.clear()
    bench.feed(FilesCompared())
    skips = [each.skip.reason for each in bench.effects if isinstance(each, RecordSkip)]
    assert skips == [Reason.PAUSED]
    assert not any(isinstance(each, StartAttempt) for each in bench.effects)
    assert bench.engine.find("a").pause is None


def test_a_drain_answers_what_waits_for_a_file() -> None:
    bench = Restarted(make_job("a", HOURLY))
    bench.feed(TriggerRequested("r", "a", Trigger.MANUAL))
    bench.feed(DrainRequested())
    assert bench.replies() == {"r": "draining"}
    assert bench.started() == []


def test_a_clock_that_is_set_back_during_the_comparison_starts_nothing_twice() -> None:
    jobs = (make_job("grid", HOURLY), make_job("civil", Cron("0 * * * *")))
    bench = Restarted(*jobs, away_s=3600 + 5)
    bench.wall -= 2 * HOUR
    bench.feed(Ticked())
    bench.feed(FilesCompared())
    started = bench.started()
    for _ in range(4):
        bench.wall, bench.elapsed = bench.wall + HOUR, bench.elapsed + HOUR
        bench.feed(Ticked())
    runs = [each.run for each in bench.effects if isinstance(each, StartAttempt)]
    named = [(run.job_id, run.scheduled_for) for run in runs]
    assert len(named) == len(set(named))
    assert len(started) <= 2


def test_jobs_with_open_runs_must_be_compared_before_anything_starts() -> None:
    bench = Bench(make_job("a", HOURLY))
    bench.go_to(3600)
    with pytest.raises(AssertionError, match="their files come first"):
        bench.restart(first=JobsRestored([]))
    bench.restart(first=JobsRestored(["a"]))
