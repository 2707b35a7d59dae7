"""The engine, one sentence at a time."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest
from support.engine_bench import START, Bench, make_job

from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    ClaimRun,
    ClaimsRefused,
    ConfigLoaded,
    DrainRequested,
    ExtendSkip,
    InstallJob,
    Log,
    RecordSkip,
    RemoveJob,
    Reply,
    Restored,
    SaveProgress,
    SaveRun,
    StartAttempt,
    StopAttempt,
    Ticked,
)
from luad.core.installed import JobStatus
from luad.core.model import (
    DAY,
    HOUR,
    OPEN_RUNS_CAP,
    CatchUp,
    Cron,
    Ending,
    EndKind,
    Interval,
    Once,
    Origin,
    Overlap,
    Reason,
    Retry,
    RunState,
    Trigger,
    Wanted,
)
from luad.core.requests import (
    CancelRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    TriggerRequested,
)
from luad.core.state import PORTION, Bounds

EVERY_MINUTE = Cron("* * * * *")


def test_a_run_is_claimed_before_it_is_started() -> None:
    bench = Bench(make_job())
    effects = bench.go_to(60)
    kinds = [type(each) for each in effects]
    assert kinds.index(ClaimRun) < kinds.index(StartAttempt)
    assert any(isinstance(each, SaveProgress) for each in effects)


def test_nothing_fires_at_the_moment_a_job_is_installed() -> None:
    bench = Bench(make_job())
    bench.go_to(59.999)
    assert bench.started() == []


def test_an_interval_keeps_its_grid_however_late_the_daemon_is() -> None:
    bench = Bench(make_job())
    for seconds in (60.5, 120.9, 180.1):
        bench.go_to(seconds)
        bench.end(bench.started()[-1])
    assert bench.starts_at() == [60, 120, 180]


def test_the_engine_asks_to_be_woken_in_time() -> None:
    bench = Bench(make_job())
    wake_ups = 0
    while not bench.started():
        at = bench.engine.next_wake_up()
        assert at is not None
        assert START < at <= START + 60_000
        bench.go_to((at - START) / 1_000)
        wake_ups += 1
    assert bench.wall == START + 60_000
    assert wake_ups < 5


@pytest.mark.slow
def test_ten_thousand_jobs_with_one_schedule_fire_in_portions() -> None:
    jobs = [make_job(f"job-{n}", EVERY_MINUTE) for n in range(10_000)]
    bench = Bench(*jobs, bounds=Bounds(64))
    bench.go_to(60)
    while bench.engine.is_behind:
        wake_up = bench.engine.next_wake_up()
        assert wake_up is not None
        assert wake_up <= bench.wall
        effects = bench.feed(Ticked())
        assert sum(isinstance(each, ClaimRun) for each in effects) <= PORTION
    assert len(bench.claims()) == 10_000
    assert len(bench.started()) == 64


# --- overlap -----------------------------------------------------------------------------------


def test_skip_leaves_a_row_and_starts_nothing() -> None:
    bench = Bench(make_job())
    bench.go_to(60)
    bench.go_to(120)
    assert bench.starts_at() == [60]
    assert bench.skips() == [("overlap", 120, 120, 1)]


def test_queue_starts_the_next_one_when_the_first_has_ended() -> None:
    bench = Bench(make_job(overlap=Overlap.QUEUE))
    for seconds in (60, 120, 180):
        bench.go_to(seconds)
    assert bench.starts_at() == [60]
    assert bench.skips() == [("overlap", 180, 180, 1)], "one waits, a second one does not"
    bench.end(bench.started()[0])
    assert bench.starts_at() == [60, 120]


def test_replace_stops_the_first_and_starts_the_second_only_once_it_is_gone() -> None:
    bench = Bench(make_job(overlap=Overlap.REPLACE))
    bench.go_to(60)
    first = bench.started()[0]
    effects = bench.go_to(120)
    assert [each.run_id for each in effects if isinstance(each, StopAttempt)] == [first.id]
    assert bench.starts_at() == [60]
    bench.end(first, EndKind.CANCELLED)
    assert bench.starts_at() == [60, 120]
    ended = next(each.run for each in bench.all(SaveRun) if each.run.state is RunState.CANCELLED)
    assert ended.reason == "replaced"


def test_allow_runs_side_by_side_up_to_its_bound() -> None:
    bench = Bench(make_job(overlap=Overlap.ALLOW, max_running=2))
    for seconds in (60, 120, 180):
        bench.go_to(seconds)
    assert bench.starts_at() == [60, 120]
    assert bench.skips() == [("overlap", 180, 180, 1)]


# --- slots -------------------------------------------------------------------------------------


def test_a_job_with_many_waiting_runs_delays_another_job_by_one_place() -> None:
    greedy = make_job("greedy", Interval(1_000), overlap=Overlap.ALLOW, max_running=50)
    modest = make_job("modest", Interval(10_000))
    bench = Bench(greedy, modest, bounds=Bounds(1))
    for second in range(1, 11):
        bench.go_to(second)
    order = []
    for _ in range(3):
        bench.end(bench.started()[-1])
        order.append(bench.started()[-1].job_name)
    assert "modest" in order[:2]


def test_a_waiting_run_is_recorded_as_running_before_it_is_started() -> None:
    bench = Bench(make_job("a"), make_job("b"), bounds=Bounds(1))
    bench.go_to(60)
    effects = bench.end(bench.started()[0])
    states = [each.run.state for each in effects if isinstance(each, SaveRun)]
    assert states[-1] is RunState.RUNNING
    assert type(effects[-1]) is StartAttempt or StartAttempt in map(type, effects)


def test_a_refused_claim_frees_its_slot() -> None:
    bench = Bench(make_job("a"), make_job("b"), bounds=Bounds(1))
    bench.go_to(60)
    bench.feed(ClaimsRefused((bench.started()[0].id,)))
    assert len(bench.started()) == 2


# --- retry -------------------------------------------------------------------------------------


def test_a_failed_attempt_is_repeated_after_its_backoff() -> None:
    bench = Bench(make_job(schedule=Cron("0 * * * *"), retry=Retry(2, 5_000)))
    bench.go_to(3600)
    run = bench.started()[0]
    bench.end(run, EndKind.RAISED)
    bench.go_to(3604.9)
    assert len(bench.started()) == 1
    bench.go_to(3605)
    assert [each.attempt for each in bench.started()] == [1, 2]
    bench.end(run, EndKind.RAISED, attempt=2)
    assert bench.all(SaveRun)[-1].run.state is RunState.FAILED


def test_the_late_end_of_an_earlier_attempt_changes_nothing() -> None:
    bench = Bench(make_job(schedule=Cron("0 * * * *"), retry=Retry(2, 0)))
    bench.go_to(3600)
    run = bench.started()[0]
    bench.end(run, EndKind.RAISED)
    bench.go_to(3600.001)
    before = len(bench.effects)
    bench.feed(AttemptEnded(run.id, 1, Ending(EndKind.RETURNED, bench.wall)))
    assert not [each for each in bench.effects[before:] if isinstance(each, SaveRun)]


def test_a_pending_retry_ends_with_the_removal_of_its_job() -> None:
    bench = Bench(make_job(schedule=Cron("0 * * * *"), retry=Retry(2, 5_000)))
    bench.go_to(3600)
    bench.end(bench.started()[0], EndKind.RAISED)
    bench.load()
    bench.go_to(3700)
    assert len(bench.started()) == 1
    assert bench.all(SaveRun)[-1].run.reason == "removed"


# --- reload ------------------------------------------------------------------------------------


def test_an_untouched_job_keeps_its_object_and_its_time() -> None:
    kept, other = make_job("kept"), make_job("other")
    bench = Bench(kept, other)
    bench.go_to(30)
    effects = bench.load(make_job("kept"), make_job("other", Interval(7_000)))
    assert bench.engine.entries["kept"].job is kept
    assert [each.job.name for each in effects if isinstance(each, InstallJob)] == ["other"]
    bench.go_to(60)
    assert ("kept", 60) in [
        (run.job_name, (run.scheduled_for - START) / 1_000) for run in bench.started()
    ]


def test_a_changed_schedule_never_fires_the_past() -> None:
    bench = Bench(make_job(schedule=Interval(DAY)))
    bench.go_to(7_200)
    bench.load(make_job(schedule=Interval(60_000)))
    assert bench.started() == []
    bench.go_to(7_260)
    assert bench.starts_at() == [7_260]


def test_a_change_that_leaves_the_schedule_alone_keeps_the_grid() -> None:
    bench = Bench(make_job())
    bench.go_to(30)
    bench.load(make_job(timeout_ms=5_000))
    bench.go_to(60)
    assert bench.starts_at() == [60]


def test_what_is_due_at_the_instant_of_a_reload_runs_under_the_old_definition() -> None:
    bench = Bench(make_job())
    bench.wall += 60_000
    bench.elapsed += 60_000
    bench.load(make_job(schedule=Interval(7_000)))
    assert bench.starts_at() == [60]


def test_nothing_starts_after_the_removal_but_what_runs_may_end() -> None:
    bench = Bench(make_job())
    bench.go_to(60)
    effects = bench.load()
    assert [each.job_name for each in effects if isinstance(each, RemoveJob)] == ["tick"]
    bench.end(bench.started()[0])
    assert bench.all(SaveRun)[-1].run.state is RunState.SUCCEEDED
    bench.go_to(600)
    assert bench.starts_at() == [60]


def test_an_occurrence_between_its_instant_and_its_jitter_gets_a_row_when_the_job_goes() -> None:
    bench = Bench(make_job(schedule=Cron("0 * * * *"), jitter_ms=HOUR))
    bench.go_to(3600)
    assert bench.started() == []
    bench.load()
    assert bench.skips() == [("removed", 3600, 3600, 1)]


# --- once --------------------------------------------------------------------------------------


def test_once_runs_once_and_is_completed() -> None:
    bench = Bench(make_job(schedule=Once(START + 5_000)))
    bench.go_to(5)
    bench.end(bench.started()[0])
    assert bench.engine.entries["tick"].status is JobStatus.COMPLETED
    bench.go_to(5_000)
    assert bench.starts_at() == [5]


def test_once_in_the_past_runs_inside_the_window_and_is_missed_outside() -> None:
    inside = make_job("inside", Once(START - HOUR + 1_000))
    outside = make_job("outside", Once(START - HOUR - 1_000))
    bench = Bench(inside, outside)
    assert [run.job_name for run in bench.started()] == ["inside"]
    assert [each[0] for each in bench.skips()] == ["past"]


def test_an_unchanged_job_that_moved_to_another_file_is_stored_with_its_new_place() -> None:
    job = make_job()
    bench = Bench()
    for path in ("a.yaml", "b.yaml", "b.yaml"):
        bench.feed(ConfigLoaded({"tick": Wanted(job, Origin(path))}))
    installed = bench.all(InstallJob)
    assert [each.origin for each in installed] == [Origin("a.yaml"), Origin("b.yaml")]
    assert len({each.job_id for each in installed}) == 1


def test_what_waits_for_a_job_that_could_not_be_restored_is_cancelled() -> None:
    bench = Bench(make_job(overlap=Overlap.QUEUE, retry=Retry(2, 60_000)))
    bench.go_to(60)
    bench.go_to(120)
    bench.end(bench.started()[0], EndKind.RAISED)
    left = bench.engine.runs.all()
    assert {run.state for run in left} == {RunState.RETRYING, RunState.QUEUED}
    bench.engine = Engine(10, bench.now)
    bench.engine.restore([], Restored(open_runs=tuple(left)), bench.now)
    bench.load()
    bench.go_to(600)
    assert bench.engine.runs.all() == []
    assert len(bench.started()) == 1


@pytest.mark.parametrize("is_reversed", [False, True])
def test_what_waits_behind_a_retry_still_does_so_after_a_restart(*, is_reversed: bool) -> None:
    bench = Bench(make_job(catch_up=CatchUp.ALL, retry=Retry(2, 60_000)))
    bench.go_to(185)  # three at once: they run one after the other
    bench.end(bench.started()[0], EndKind.RAISED)
    states = [run.state for run in bench.engine.runs.all()]
    assert states == [RunState.RETRYING, RunState.QUEUED, RunState.QUEUED]
    bench.effects.clear()
    bench.restart(is_reversed=is_reversed)
    assert bench.started() == []
    bench.go_to(246)
    (again,) = bench.started()
    assert again.attempt == 2
    bench.end(again, attempt=2)
    assert [run.attempt for run in bench.started()] == [2, 1]


def test_what_waited_for_a_slot_before_a_long_downtime_gives_way_to_the_latest() -> None:
    bench = Bench(make_job("a"), make_job("b", schedule=Interval(61_000)), bounds=Bounds(1))
    bench.go_to(61)
    first = bench.started()[0]
    bench.end(first)
    bench.go_to(120)
    assert [run.job_name for run in bench.started()] == ["a", "b"]
    waiting = next(run for run in bench.engine.runs.all() if run.state is RunState.QUEUED)
    assert waiting.job_name == "a"
    bench.wall += 3 * DAY
    bench.elapsed += 3 * DAY
    bench.effects.clear()
    bench.restart()
    ended = [each.run for each in bench.all(SaveRun) if each.run.id == waiting.id]
    assert [(run.state, run.reason) for run in ended] == [(RunState.CANCELLED, Reason.DOWNTIME)]
    assert [run.scheduled_for for run in bench.claims() if run.job_name == "a"] == [bench.wall]


# --- pause -------------------------------------------------------------------------------------


def test_a_paused_job_collects_its_skips_in_one_row() -> None:
    bench = Bench(make_job())
    bench.feed(PauseRequested("r1", "tick", "lunch", "ann"))
    for seconds in (60, 120, 180):
        bench.go_to(seconds)
    assert bench.started() == []
    assert bench.skips() == [("paused", 60, 60, 1)]
    assert [each.skip.count for each in bench.all(ExtendSkip)] == [2, 3]
    assert bench.engine.next_occurrence_of("tick") is None


def test_a_paused_job_whose_row_was_refused_begins_another_one() -> None:
    bench = Bench(make_job())
    bench.feed(PauseRequested("r1", "tick", "lunch", "ann"))
    bench.go_to(60)
    (refused,) = bench.all(RecordSkip)  # the clock was there before: that instant has a row already
    bench.feed(ClaimsRefused((refused.row_id,)))
    bench.go_to(120)
    bench.go_to(180)
    assert bench.skips()[1:] == [("paused", 120, 120, 1)]
    assert [each.skip.count for each in bench.all(ExtendSkip)] == [2]
    bench.feed(ResumeRequested("r2", "tick", "all"))
    assert bench.starts_at() == [60]  # one at a time; two more wait
    assert len(bench.engine.runs.all()) == 3


def test_a_row_that_was_refused_is_not_extended_by_what_came_due_meanwhile() -> None:
    bench = Bench(make_job())
    bench.feed(PauseRequested("r1", "tick", "lunch", "ann"))
    bench.go_to(60)
    (refused,) = bench.all(RecordSkip)
    bench.wall += 60_000
    bench.elapsed += 60_000
    bench.feed(ClaimsRefused((refused.row_id,)))  # the news and the next occurrence, in one batch
    assert bench.all(ExtendSkip) == []
    assert bench.skips()[1:] == [("paused", 120, 120, 1)]


def test_a_pause_ends_by_itself_at_its_time() -> None:
    bench = Bench(make_job())
    bench.feed(PauseRequested("r1", "tick", until=START + 90_000))
    bench.go_to(60)
    bench.go_to(90)
    bench.go_to(120)
    assert bench.starts_at() == [120]


def test_resuming_runs_none_one_or_all_of_what_was_skipped() -> None:
    for catch_up, expected in (("none", []), ("one", [180]), ("all", [60, 120, 180])):
        bench = Bench(make_job(overlap=Overlap.ALLOW))
        bench.feed(PauseRequested("r1", "tick"))
        for seconds in (60, 120, 180):
            bench.go_to(seconds)
        bench.feed(ResumeRequested("r2", "tick", catch_up))  # type: ignore[arg-type]
        assert bench.starts_at() == expected
        assert {run.trigger for run in bench.started()} <= {Trigger.RESUME}
        assert bench.skips() == [("paused", 60, 60, 1)], "the row of the pause stays as it is"
        assert [each.skip.count for each in bench.all(ExtendSkip)] == [2, 3]


@pytest.mark.parametrize("overlap", list(Overlap))
@pytest.mark.parametrize("catch_up", ["one", "all"])
def test_what_a_resume_catches_up_with_waits_for_an_open_run(
    catch_up: Literal["one", "all"], overlap: Overlap
) -> None:
    """A client has asked for it: it is not skipped a second time."""
    bench = Bench(make_job(overlap=overlap, max_running=1))
    bench.go_to(60)
    (first,) = bench.started()
    bench.feed(PauseRequested("r1", "tick"))
    bench.go_to(120)
    bench.feed(ResumeRequested("r2", "tick", catch_up))
    kind = EndKind.CANCELLED if overlap is Overlap.REPLACE else EndKind.RETURNED
    bench.end(first, kind)
    again = bench.started()[-1]
    assert (again.trigger, again.scheduled_for) == (Trigger.RESUME, START + 120_000)


def test_what_came_due_after_the_end_of_a_pause_runs_however_late_it_is_noticed() -> None:
    bench = Bench(make_job())
    bench.feed(PauseRequested("r1", "tick", until=START + 120_000))
    bench.go_to(250)
    assert bench.starts_at() == [240]
    assert bench.skips() == [("paused", 60, 60, 1), ("coalesced", 120, 180, 2)]


def test_resuming_after_a_restart_knows_what_was_skipped_before_it() -> None:
    for catch_up, expected in (("one", [240]), ("all", [60, 120, 180, 240])):
        bench = Bench(make_job(overlap=Overlap.ALLOW))
        bench.feed(PauseRequested("r1", "tick"))
        for seconds in (60, 120, 180):
            bench.go_to(seconds)
        bench.restart()
        bench.go_to(240)
        bench.feed(ResumeRequested("r2", "tick", catch_up))  # type: ignore[arg-type]
        assert bench.starts_at() == expected


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("change", ["schedule", "disabled for a while"])
def test_a_resume_catches_up_with_what_the_present_schedule_has_skipped(
    change: str, is_restarted: bool
) -> None:
    """The new schedule has instants before the change, which were never due."""
    bench = Bench(make_job(schedule=Interval(60_000), overlap=Overlap.ALLOW))
    bench.feed(PauseRequested("r1", "tick"))
    bench.go_to(60)
    bench.go_to(130)
    is_other = change == "schedule"
    after = Interval(40_000, START) if is_other else Interval(60_000)
    if not is_other:
        bench.load(make_job(schedule=after, overlap=Overlap.ALLOW, enabled=False))
        bench.go_to(250)
    bench.load(make_job(schedule=after, overlap=Overlap.ALLOW))
    bench.go_to(310)
    if is_restarted:
        bench.restart()
    bench.go_to(330)
    bench.feed(ResumeRequested("r2", "tick", "all"))
    assert bench.starts_at() == ([160, 200, 240, 280, 320] if is_other else [300])


def test_failures_of_a_removed_job_are_not_those_of_another_of_its_name() -> None:
    job = make_job(pause_after_failures=1)
    bench = Bench(job)
    bench.go_to(60)
    bench.load()
    bench.go_to(61)
    bench.load(job)
    bench.end(bench.started()[0], EndKind.RAISED)
    entry = bench.engine.entries["tick"]
    assert (entry.consecutive_failures, entry.pause) == (0, None)


def test_failures_in_a_row_pause_the_job_and_say_why() -> None:
    bench = Bench(make_job(pause_after_failures=2))
    for seconds in (60, 120):
        bench.go_to(seconds)
        bench.end(bench.started()[-1], EndKind.RAISED)
    pause = bench.engine.entries["tick"].pause
    assert pause is not None
    assert pause.reason.startswith("2 failures in a row")
    bench.go_to(180)
    assert bench.starts_at() == [60, 120]


def test_a_disabled_job_has_no_occurrences() -> None:
    bench = Bench(make_job(enabled=False))
    bench.go_to(600)
    assert bench.started() == []
    assert bench.skips() == []
    bench.load(make_job(enabled=True))
    bench.go_to(660)
    assert bench.starts_at() == [660]


# --- by hand -----------------------------------------------------------------------------------


def test_a_run_by_hand_starts_now_and_its_answer_is_the_run() -> None:
    bench = Bench(make_job())
    bench.go_to(10)
    bench.feed(TriggerRequested("r1", "tick", Trigger.MANUAL, {"a": 1}))
    run = bench.reply().value
    assert (run.state, run.metadata, run.scheduled_for) == (RunState.RUNNING, {"a": 1}, bench.wall)


def test_by_hand_honours_the_overlap_policy_unless_forced() -> None:
    bench = Bench(make_job())
    bench.go_to(60)
    bench.feed(TriggerRequested("r1", "tick", Trigger.MANUAL))
    assert bench.reply().error == "already_running"
    assert bench.started()[0].id in bench.reply().hint
    bench.feed(TriggerRequested("r2", "tick", Trigger.MANUAL, force=True))
    assert bench.reply().error is None


def test_a_job_that_forces_itself_again_and_again_comes_to_an_end() -> None:
    """Else a handler that triggers its own job twice fills memory and history for ever."""
    bench = Bench(make_job(), bounds=Bounds(1))
    bench.go_to(10)
    for number in range(OPEN_RUNS_CAP):
        bench.feed(TriggerRequested(f"r{number}", "tick", Trigger.API, force=True))
        assert bench.reply().error is None
    bench.feed(TriggerRequested("more", "tick", Trigger.API, force=True))
    assert bench.reply().error == "too_many_runs"
    bench.end(bench.started()[0])
    bench.feed(TriggerRequested("again", "tick", Trigger.API, force=True))
    assert bench.reply().error is None


def test_asking_for_what_is_not_there_is_answered() -> None:
    bench = Bench()
    bench.feed(TriggerRequested("r1", "nobody", Trigger.MANUAL))
    assert bench.reply().error == "not_found"
    bench.feed(CancelRequested("r2", "run_x"))
    assert bench.reply().error == "conflict"


def test_a_cancelled_run_is_stopped_and_never_retried() -> None:
    bench = Bench(make_job(retry=Retry(5)))
    bench.go_to(60)
    run = bench.started()[0]
    bench.feed(CancelRequested("r1", run.id, kill=True))
    assert bench.all(StopAttempt) == [StopAttempt(run.id, 1, True)]
    bench.end(run, EndKind.SIGNALLED)
    assert bench.all(SaveRun)[-1].run.state is RunState.FAILED
    assert len(bench.started()) == 1


def test_an_ended_run_can_be_run_again() -> None:
    bench = Bench(make_job())
    bench.go_to(60)
    bench.end(bench.started()[0], EndKind.RAISED)
    failed = bench.all(SaveRun)[-1].run
    bench.feed(RetryRequested("r1", failed))
    again = bench.reply().value
    assert (again.retry_of, again.scheduled_for) == (failed.id, failed.scheduled_for)
    assert again.id != failed.id


# --- drain -------------------------------------------------------------------------------------


def test_a_draining_engine_starts_nothing_and_leaves_what_is_due_for_the_next_start() -> None:
    bench = Bench(make_job())
    bench.go_to(60)
    bench.feed(DrainRequested())
    bench.go_to(120)
    assert bench.starts_at() == [60]
    assert bench.skips() == []
    assert bench.engine.next_wake_up() is None
    bench.feed(TriggerRequested("r1", "tick", Trigger.MANUAL))
    assert bench.reply().error == "draining"


# --- lateness and the clock --------------------------------------------------------------------


def test_a_stall_of_three_minutes_is_one_run_and_one_row() -> None:
    bench = Bench(make_job())
    bench.go_to(245)
    assert bench.starts_at() == [240]
    assert bench.skips() == [("coalesced", 60, 180, 3)]
    assert bench.started()[0].missed_count == 3
    assert bench.started()[0].trigger is Trigger.CATCHUP


def test_ten_years_ahead_is_one_run_not_three_hundred_million() -> None:
    bench = Bench(make_job(schedule=EVERY_MINUTE))
    bench.step_clock(3650 * 86_400)
    assert len(bench.started()) == 1
    assert len(bench.skips()) == 2


def test_a_search_that_stands_still_ends_its_own_job_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No line and no zone is known to do that; one that did would hold the loop for ever."""
    lines = [make_job(name, EVERY_MINUTE, overlap=Overlap.ALLOW) for name in ("one", "two")]
    bench = Bench(*lines, make_job("beat", overlap=Overlap.ALLOW, max_running=9))
    bench.go_to(60)
    monkeypatch.setattr("luad.core.cron.search.next_civil", lambda _, after: after)
    for seconds in (120, 180, 240):
        bench.go_to(seconds)
    by_job = Counter(run.job_name for run in bench.claims())
    assert by_job == {"one": 2, "two": 2, "beat": 4}
    bench.load(*lines, make_job("three", EVERY_MINUTE))
    told = [
        (each.level, each.fields["job"]) for each in bench.all(Log) if each.event == "job.stuck"
    ]
    assert told == [("error", name) for name in ("one", "two", "three")]
    assert bench.engine.next_occurrence_of("one") is None
    monkeypatch.undo()
    bench.load(make_job("one", EVERY_MINUTE, timeout_ms=1))
    assert bench.engine.next_occurrence_of("one") is not None


def test_an_interval_keeps_its_cadence_when_the_clock_goes_back() -> None:
    bench = Bench(make_job())
    bench.go_to(60)
    bench.end(bench.started()[0])
    bench.step_clock(-7_200)
    bench.wall += 59_999
    bench.elapsed += 59_999
    bench.feed()
    assert len(bench.started()) == 1
    bench.wall += 2
    bench.elapsed += 2
    bench.feed()
    assert len(bench.started()) == 2
    assert len({run.scheduled_for for run in bench.started()}) == 2


@pytest.mark.parametrize("schedule", [EVERY_MINUTE, Interval(60_000)])
def test_a_clock_that_is_set_back_by_less_than_a_step_starts_nothing_twice(
    schedule: Cron | Interval,
) -> None:
    bench = Bench(make_job(schedule=schedule))
    bench.go_to(60)
    bench.end(bench.started()[0])
    bench.step_clock(-0.3)
    at = bench.engine.next_wake_up()
    assert at is not None
    assert at > bench.wall
    bench.go_to(60)
    assert bench.starts_at() == [60]
    bench.go_to(120)
    assert bench.starts_at() == [60, 120]


def test_an_interval_keeps_its_cadence_when_the_clock_goes_ahead() -> None:
    bench = Bench(make_job())
    bench.go_to(30)
    bench.step_clock(86_400)
    assert bench.started() == []
    bench.go_to(86_400 + 60)
    assert len(bench.started()) == 1


def test_a_clock_that_was_in_the_future_does_not_silence_cron_for_ever() -> None:
    bench = Bench(make_job(schedule=EVERY_MINUTE))
    bench.step_clock(3650 * 86_400)
    bench.end(bench.started()[0])
    bench.step_clock(-3650 * 86_400)
    bench.go_to(60)
    assert bench.starts_at()[-1] == 60


def test_no_window_at_all_does_not_ask_for_starts_to_the_millisecond() -> None:
    bench = Bench(make_job(catch_up_window_ms=0))
    bench.go_to(60.02)
    assert bench.starts_at() == [60]
    bench.end(bench.started()[0])
    bench.go_to(122)
    assert bench.skips() == [("overload", 120, 120, 1)]


def test_no_catch_up_means_that_a_late_one_is_missed() -> None:
    bench = Bench(make_job(schedule=Cron("0 * * * *"), catch_up=CatchUp.NONE))
    bench.go_to(3600 + 61)
    assert bench.started() == []
    assert bench.skips() == [("downtime", 3600, 3600, 1)]


# --- in the middle of a herd -------------------------------------------------------------------


def herd(count: int, **fields: object) -> Bench:
    """Jobs with one schedule, of which the first has been handled, by an engine with a portion of one."""
    jobs = [make_job(f"job-{n}", EVERY_MINUTE, **fields) for n in range(count)]
    bench = Bench(*jobs, bounds=Bounds(64, portion=1))
    bench.go_to(60)
    assert len(bench.claims()) == 1
    return bench


def fire_the_rest(bench: Bench) -> None:
    while bench.engine.is_behind:
        bench.feed(Ticked())


def test_a_drain_leaves_the_rest_of_a_herd_to_the_next_daemon() -> None:
    bench = herd(3)
    bench.feed(DrainRequested())
    assert not bench.engine.is_behind
    assert bench.engine.next_wake_up() is None
    bench.restart()
    fire_the_rest(bench)
    assert sorted(run.job_name for run in bench.claims()) == ["job-0", "job-1", "job-2"]


def test_a_drain_answers_the_requests_that_wait_for_a_herd() -> None:
    bench = herd(3)
    bench.feed(PauseRequested("r1", "job-2"))
    assert bench.all(Reply) == []
    bench.feed(DrainRequested())
    assert bench.reply().request_id == "r1"


def test_a_clock_that_steps_back_in_a_herd_gives_nothing_two_rows() -> None:
    bench = herd(4)
    bench.step_clock(-30)
    fire_the_rest(bench)
    bench.go_to(60)
    fire_the_rest(bench)
    names = [run.job_name for run in bench.claims()]
    assert sorted({*names}) == ["job-0", "job-1", "job-2", "job-3"]
    claimed = [(run.job_id, run.scheduled_for) for run in bench.claims()]
    # The store refuses the second claim of the first job, which the engine cannot know of.
    assert len(claimed) - len({*claimed}) <= 1


def test_the_end_of_a_run_in_a_herd_settles_its_job_before_it_pauses_it() -> None:
    jobs = [
        make_job(f"job-{n}", EVERY_MINUTE, pause_after_failures=1, overlap=Overlap.ALLOW)
        for n in range(3)
    ]
    bench = Bench(*jobs, bounds=Bounds(64, portion=1))
    bench.go_to(60)
    fire_the_rest(bench)
    last = next(run for run in bench.started() if run.job_name == "job-2")
    bench.go_to(120)  # the first of three
    bench.end(last, EndKind.RAISED)
    fire_the_rest(bench)
    assert bench.skips() == []
    assert [run.job_name for run in bench.started()].count("job-2") == 2


def test_a_group_is_armed_again_after_the_last_of_its_members_only() -> None:
    bench = herd(3)
    fire_the_rest(bench)
    bench.go_to(119.9)
    assert len(bench.claims()) == 3
    for number in (120, 180):
        for run in list(bench.engine.runs.all()):
            bench.end(run)
        bench.go_to(number)
        fire_the_rest(bench)
    assert len(bench.claims()) == 9
    assert len({(run.job_id, run.scheduled_for) for run in bench.claims()}) == 9


# --- queues --------------------------------------------------------------------------------------


def test_a_run_whose_queue_no_worker_serves_waits_without_a_slot() -> None:
    bench = Bench(
        make_job("train", Cron("* * * * *"), queue="gpu"),
        make_job("tick", Cron("* * * * *")),
        bounds=Bounds(1, queues=frozenset({"default"})),
    )
    bench.go_to(60)
    assert [run.job_name for run in bench.started()] == ["tick"]
    assert dict(bench.engine.runs.unserved.counts) == {"gpu": 1}
    waiting = next(run for run in bench.claims() if run.job_name == "train")
    assert waiting.state is RunState.QUEUED
    assert bench.engine.runs.unserved.queue_of(waiting.id) == "gpu"
    assert bench.engine.runs.slots.waiting_count == 0


def test_a_run_without_a_worker_starts_once_its_job_has_another_queue() -> None:
    bench = Bench(make_job(queue="gpu"), bounds=Bounds(1, queues=frozenset({"default"})))
    bench.go_to(60)
    assert not bench.started()
    bench.restart()
    assert not bench.started()
    assert bench.engine.runs.unserved.counts["gpu"] == 1
    bench.load(make_job())
    assert [run.attempt for run in bench.started()] == [1]
    assert not bench.engine.runs.unserved.counts


def test_a_run_without_a_worker_is_cancelled_with_its_job() -> None:
    bench = Bench(make_job(queue="gpu"), bounds=Bounds(1, queues=frozenset({"default"})))
    bench.go_to(60)
    bench.load()
    assert not bench.engine.runs.unserved.counts
    assert not bench.engine.runs.all()


def test_a_retry_waits_for_a_worker_after_the_queues_have_changed() -> None:
    job = make_job(queue="gpu", retry=Retry(3))
    bench = Bench(job, bounds=Bounds(1, queues=frozenset({"gpu"})))
    bench.go_to(60)
    bench.end(bench.started()[0], EndKind.RAISED)
    bench.bounds = Bounds(1, queues=frozenset({"default"}))
    bench.restart()
    bench.go_to(70)
    assert len(bench.started()) == 1
    assert bench.engine.runs.unserved.counts["gpu"] == 1


def test_the_next_run_of_a_job_waits_for_a_worker_too() -> None:
    job = make_job(queue="gpu", overlap=Overlap.QUEUE)
    bench = Bench(job, bounds=Bounds(1, queues=frozenset({"default"})))
    bench.go_to(60)
    bench.go_to(120)
    first, second = bench.claims()
    bench.feed(CancelRequested("c", first.id))
    assert bench.engine.runs.unserved.queue_of(second.id) == "gpu"
    assert not bench.started()
