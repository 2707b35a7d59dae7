"""An instant that is past: what is refused, what is missed, and what an edit leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from support.engine_bench import START, Bench, make_job

from luad.core.events import Log
from luad.core.installed import JobStatus
from luad.core.model import DAY, HOUR, MINUTE, CatchUp, Cron, Interval, Job, Once
from luad.core.requests import ChangeRequested, PauseRequested, ResumeRequested


def once(at: int, **fields: Any) -> Job:
    return make_job("bell", Once(START + at), **fields)


def past_rows(bench: Bench) -> list[float]:
    return [row[1] for row in bench.skips() if row[0] == "past"]


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        once(-2 * HOUR),
        once(-365 * DAY),
        once(-11_000, catch_up_window_ms=10_000),
        once(-2 * MINUTE, catch_up=CatchUp.NONE),
        once(-HOUR - 30_000, jitter_ms=10_000),
    ],
)
def test_a_file_whose_once_is_past_is_missed_and_told_at_load(job: Job) -> None:
    for bench in (Bench(job), Bench()):
        bench.load(job)
        assert isinstance(job.schedule, Once)
        at = (job.schedule.execute_at - START) / 1_000
        assert (bench.skips(), bench.started()) == ([("past", at, at, 1)], [])
        told = [each for each in bench.all(Log) if each.event == "run.missed"]
        assert [(each.level, each.fields["reason"]) for each in told] == [("warning", "past")]
        bench.restart()
        assert len(bench.skips()) == 1, "it is told once"


@pytest.mark.parametrize(
    "job", [once(-HOUR), once(-MINUTE, catch_up=CatchUp.NONE), once(-500, catch_up_window_ms=0)]
)
def test_a_once_inside_its_window_runs(job: Job) -> None:
    bench = Bench(job)
    assert len(bench.started()) == 1
    assert bench.skips() == []


def test_a_once_that_luad_was_down_for_was_not_past() -> None:
    bench = Bench(once(HOUR))
    bench.wall += 3 * HOUR
    bench.elapsed += 3 * HOUR
    bench.restart()
    assert bench.skips() == [("downtime", 3_600, 3_600, 1)]


@pytest.mark.parametrize("before", [Interval(HOUR), Cron("0 0 * * *"), Once(START + DAY)])
@pytest.mark.parametrize("ago", [1, 60, 3_600, 86_400])
def test_a_file_that_is_edited_to_a_past_once_has_its_row_and_no_run(before: Any, ago: int) -> None:
    """An edit is not retroactive; nor does it end without a word."""
    bench = Bench(make_job("bell", before))
    bench.go_to(5)
    bench.load(once((5 - ago) * 1_000))
    assert bench.started() == []
    assert past_rows(bench) == [5 - ago]


def test_an_edit_of_something_else_leaves_a_once_alone_that_has_its_row() -> None:
    bench = Bench(once(MINUTE))
    bench.go_to(60)
    bench.end(bench.started()[0])
    for changes in ({"timeout_ms": 5}, {"enabled": False}, {}):
        bench.load(once(MINUTE, **changes))
        bench.go_to(70 + len(bench.effects))
    assert len(bench.started()) == 1
    assert past_rows(bench) == []


def test_a_once_that_was_switched_off_at_its_moment_is_past_when_it_is_switched_on() -> None:
    bench = Bench(once(MINUTE, enabled=False))
    bench.go_to(90)
    assert bench.engine.entries["bell"].status is JobStatus.PAUSED
    bench.load(once(MINUTE))
    assert past_rows(bench) == [60]
    assert bench.started() == []


# --- jobs that are made at run time ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (once(-2 * HOUR), "2 hours ago (2026-09-21T22:00:00Z), and catch_up_window is 1 hour"),
        (once(-3 * DAY - 4 * HOUR - MINUTE), "3 days 4 hours ago"),
        (once(-90_000, catch_up_window_ms=MINUTE), "1 minute 30 seconds ago"),
        (once(-2 * MINUTE, catch_up=CatchUp.NONE), "catch_up is none"),
        (once(-5_000, catch_up_window_ms=0), "catch_up_window is 1 second"),
    ],
)
def test_a_job_for_the_past_is_refused_with_how_long_ago_it_was(job: Job, said: str) -> None:
    bench = Bench()
    made = bench.create(job)
    assert (made.outcome, made.error) == ("refused", "validation")
    assert said in made.message
    assert bench.engine.entries == {}


def test_a_job_for_a_moment_inside_the_window_is_made_and_runs() -> None:
    bench = Bench()
    assert bench.create(once(-HOUR)).outcome == "created"
    bench.go_to(0)
    assert len(bench.started()) == 1


def test_keeping_a_job_that_is_there_is_not_refused() -> None:
    """A handler that is tried again asks for the same job, whose time has come meanwhile."""
    bench = Bench()
    made = bench.create(once(MINUTE, catch_up_window_ms=MINUTE))
    bench.go_to(60)
    bench.go_to(180)
    again = bench.create(once(MINUTE, catch_up_window_ms=MINUTE), "keep")
    assert (again.outcome, again.job_id) == ("kept", made.job_id)


def test_a_job_is_not_moved_into_the_past() -> None:
    bench = Bench()
    bench.create(once(HOUR))
    old = bench.engine.entries["bell"].job
    bench.feed(ChangeRequested("r1", "bell", once(-2 * HOUR), old.revision))
    assert bench.reply().error == "validation"
    assert "2 hours ago" in bench.reply().message
    assert bench.engine.entries["bell"].job is old
    bench.feed(ChangeRequested("r2", "bell", once(HOUR, timeout_ms=7), old.revision))
    assert bench.reply().error is None


# --- the grid of an interval -----------------------------------------------------------------------


def beat(**fields: Any) -> Job:
    return make_job("beat", Interval(7 * MINUTE), **fields)


@pytest.mark.parametrize(
    "changes",
    [
        [{"enabled": False}, {}],
        [{"enabled": False}, {"enabled": False, "timeout_ms": 9}, {"timeout_ms": 9}],
        [{"timeout_ms": 5}, {"enabled": False, "timeout_ms": 6}, {}],
    ],
)
def test_the_grid_stays_through_everything_but_another_schedule(
    changes: list[dict[str, Any]],
) -> None:
    for is_restarted in (False, True):
        bench = Bench(beat())
        for number, fields in enumerate(changes, 1):
            bench.go_to(100 * number)
            if is_restarted:
                bench.restart()
            bench.load(beat(**fields))
        assert bench.engine.entries["beat"].grid_at == START
        following = bench.engine.next_occurrence_of("beat")
        assert following is not None
        assert following.scheduled_for == START + 7 * MINUTE
        bench.go_to(7 * 60)
        assert bench.starts_at() == [7 * 60]


@pytest.mark.parametrize("start_at", [None, START - 60_000])
@pytest.mark.parametrize("step", [-90, 400])
def test_the_grid_moves_with_the_clock_while_the_job_is_switched_off(
    start_at: int | None, step: int
) -> None:
    """A job that was switched off meanwhile is due when it would have been due anyway."""
    dues = []
    for is_switched in (False, True):
        fields = {"enabled": False} if is_switched else {}
        job = make_job("beat", Interval(7 * MINUTE, start_at))
        bench = Bench(job)
        bench.load(make_job("beat", job.schedule, **fields))
        bench.go_to(100)
        bench.step_clock(step)
        bench.load(job)
        dues.append(bench.engine.next_occurrence_of("beat"))
    assert dues[0] is not None
    assert dues[0] == dues[1]


def test_what_came_due_while_it_was_switched_off_does_not_run() -> None:
    bench = Bench(beat())
    bench.load(beat(enabled=False))
    bench.go_to(20 * 60)
    bench.load(beat())
    assert (bench.started(), bench.skips()) == ([], [])
    bench.go_to(21 * 60)
    assert bench.starts_at() == [21 * 60]


def test_another_interval_begins_a_new_grid() -> None:
    bench = Bench(beat())
    bench.go_to(100)
    bench.load(make_job("beat", Interval(8 * MINUTE)))
    assert bench.engine.entries["beat"].grid_at == START + 100_000


def test_a_pause_leaves_the_grid_alone() -> None:
    bench = Bench(beat())
    bench.feed(PauseRequested("r1", "beat"))
    bench.go_to(100)
    bench.feed(ResumeRequested("r2", "beat"))
    bench.go_to(7 * 60)
    assert bench.starts_at() == [7 * 60]


def test_a_dynamic_job_that_is_switched_off_and_on_keeps_its_grid() -> None:
    bench = Bench()
    bench.create(beat())
    for number, fields in enumerate(({"enabled": False}, {}), 1):
        bench.go_to(100 * number)
        entry = bench.engine.entries["beat"]
        bench.feed(ChangeRequested(f"r{number}", "beat", beat(**fields), entry.job.revision))
        assert bench.reply().error is None
    assert bench.engine.entries["beat"].grid_at == START


def from_then_on(start_at: int) -> Job:
    return make_job("beat", Interval(DAY, start_at), catch_up_window_ms=HOUR)


def next_of(bench: Bench) -> int:
    following = bench.engine.next_occurrence_of("beat")
    assert following is not None
    return following.scheduled_for


def test_a_start_that_was_ahead_while_the_clock_was_in_1970_is_where_it_was() -> None:
    """No clock of its own, a new file, and then the network is asked: the job is not silent for 56 years."""
    bench = Bench()
    bench.step_clock((60_000 - START) / 1000)
    bench.load(from_then_on(START - 30 * DAY - 2 * HOUR))
    bench.step_clock((START - bench.wall) / 1000)
    assert next_of(bench) == START + 22 * HOUR
    (row,) = bench.skips()
    assert row == ("clock", -30 * 86_400 - 7_200, -7_200, 31)


@pytest.mark.parametrize("step", [-3 * HOUR, -1_000, 1_000, 23 * HOUR])
def test_a_start_that_is_ahead_stays_where_it_is_when_the_clock_is_set(step: int) -> None:
    bench = Bench(from_then_on(START + DAY))
    bench.step_clock(step / 1000)
    assert next_of(bench) == START + DAY
    bench.step_clock(-step / 1000)
    assert next_of(bench) == START + DAY
    bench.go_to(86_400)
    assert [run.scheduled_for for run in bench.started()] == [START + DAY]


def test_a_machine_that_boots_in_1970_does_not_begin_before_the_start() -> None:
    bench = Bench(from_then_on(START + DAY))
    last_seen, bench.wall = bench.wall, 60_000
    bench.restart(last_seen=last_seen)
    assert next_of(bench) == START + DAY
    bench.step_clock((START - bench.wall) / 1000)
    assert next_of(bench) == START + DAY


def test_what_began_by_a_clock_that_was_years_ahead_begins_at_its_start() -> None:
    bench = Bench(from_then_on(START + 30 * DAY))
    bench.step_clock(4 * 365 * 86_400 + 13 * 3_600)
    bench.step_clock(-(4 * 365 * 86_400 + 13 * 3_600))
    assert next_of(bench) == START + 30 * DAY


def test_what_has_just_begun_keeps_its_cadence_when_the_clock_goes_back_beyond_the_start() -> None:
    bench = Bench(from_then_on(START + MINUTE))
    bench.go_to(60)
    bench.step_clock(-120)
    assert next_of(bench) == START + MINUTE + DAY - 120_000 + 1
