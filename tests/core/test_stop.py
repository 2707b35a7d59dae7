"""An orderly stop is never worse than kill -9: what becomes of the runs that it has to end."""

from __future__ import annotations

from typing import Any

import pytest
from support.engine_bench import START, Bench, make_job

from luad.core.events import (
    AddMessage,
    AttemptEnded,
    AttemptStarted,
    DrainRequested,
    SaveRun,
    StopAttempt,
)
from luad.core.installed import JobStatus
from luad.core.model import (
    HOUR,
    MINUTE,
    AlertPolicy,
    Ending,
    EndKind,
    Interval,
    Job,
    Once,
    OnLost,
    Overlap,
    ProcessIdentity,
    Reason,
    Retry,
    Run,
    RunState,
)
from luad.core.requests import CancelRequested, RetryRequested

ENDS_BADLY = (EndKind.RAISED, EndKind.EXITED, EndKind.SIGNALLED, EndKind.TIMED_OUT)
ME = ProcessIdentity(1, 2, "boot")


def bench_with_a_run(job: Job | None = None) -> tuple[Bench, Run]:
    bench = Bench(job or make_job())
    bench.go_to(60)
    run = bench.started()[0]
    bench.feed(AttemptStarted(run.id, 1, bench.wall, ME))
    return bench, run


def end(bench: Bench, run: Run, kind: EndKind, attempt: int = 1) -> None:
    code = 3 if kind is EndKind.EXITED else None
    bench.feed(AttemptEnded(run.id, attempt, Ending(kind, bench.wall, code)))


def stop(bench: Bench, *runs: Run, kind: EndKind = EndKind.CANCELLED) -> None:
    """Stop the daemon; the processes of *runs* have to be ended."""
    bench.feed(DrainRequested())
    bench.feed(DrainRequested(is_impatient=True))
    for run in runs:
        end(bench, run, kind)


def latest(bench: Bench) -> Run:
    return bench.all(SaveRun)[-1].run


def state_of(bench: Bench) -> tuple[RunState, Reason | None]:
    run = latest(bench)
    return run.state, run.reason


def titles(bench: Bench) -> list[str]:
    return [each.message.title for each in bench.all(AddMessage)]


def test_a_run_that_a_stop_has_to_end_is_lost_with_the_reason_stopped() -> None:
    bench, run = bench_with_a_run()
    stop(bench, run)
    assert state_of(bench) == (RunState.LOST, Reason.STOPPED)
    ending = latest(bench).ending
    assert ending is not None
    assert (ending.kind, ending.error and ending.error.type) == (EndKind.LOST, "Stopped")


@pytest.mark.parametrize("how", ["stop", "kill -9"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"retry": Retry(3, 5_000)},
        {"on_lost": OnLost.RETRY},
        {"on_lost": OnLost.RETRY, "retry": Retry(3, 5_000)},
    ],
)
@pytest.mark.parametrize("schedule", [Interval(10 * MINUTE, START + MINUTE), Once(START + MINUTE)])
def test_what_follows_a_stop_is_what_follows_kill_9(
    schedule: Any, fields: dict[str, Any], how: str
) -> None:
    """Only the reason tells the two apart."""
    bench, run = bench_with_a_run(make_job("tick", schedule, **fields))
    if how == "stop":
        stop(bench, run)
        bench.restart()
    else:
        bench.restart()
        end(bench, run, EndKind.LOST)
    bench.go_to(70)
    attempts = [each.attempt for each in bench.started()]
    assert attempts == ([1, 2] if fields.get("on_lost") else [1])
    if not fields.get("on_lost"):
        assert latest(bench).state is RunState.LOST


def test_nothing_that_has_started_starts_again_unasked() -> None:
    bench, run = bench_with_a_run(make_job(retry=Retry(5)))
    stop(bench, run)
    bench.restart()
    assert [each.id for each in bench.started()].count(run.id) == 1
    assert bench.engine.runs.get(run.id) is None


def test_the_next_daemon_starts_the_attempt_that_on_lost_asks_for() -> None:
    bench, run = bench_with_a_run(make_job(on_lost=OnLost.RETRY, overlap=Overlap.ALLOW))
    stop(bench, run)
    assert state_of(bench) == (RunState.RETRYING, None)
    assert len(bench.started()) == 1, "a daemon that stops starts nothing"
    bench.restart()
    bench.go_to(61)
    again = bench.started()[-1]
    assert (again.id, again.attempt) == (run.id, 2)
    bench.feed(AttemptStarted(run.id, 2, bench.wall, ME))
    end(bench, run, EndKind.RETURNED, attempt=2)
    assert state_of(bench) == (RunState.SUCCEEDED, None)


def test_a_run_that_ends_by_itself_within_the_drain_is_what_it_is() -> None:
    for kind in (EndKind.RETURNED, *ENDS_BADLY):
        bench, run = bench_with_a_run()
        bench.feed(DrainRequested())
        end(bench, run, kind)
        assert latest(bench).state is not RunState.LOST
        assert latest(bench).reason is None


@pytest.mark.parametrize("kind", ENDS_BADLY)
def test_a_failure_while_luad_ends_it_is_a_failure_and_is_tried_again(kind: EndKind) -> None:
    bench, run = bench_with_a_run(make_job(retry=Retry(2)))
    stop(bench, run, kind=kind)
    assert state_of(bench) == (RunState.RETRYING, None)


@pytest.mark.parametrize("kind", [EndKind.CANCELLED, EndKind.LOST])
def test_a_run_that_a_client_had_cancelled_is_cancelled_and_stays_so(kind: EndKind) -> None:
    """The stop does not take it over, and `on_lost: retry` does not bring it back."""
    bench, run = bench_with_a_run(make_job(on_lost=OnLost.RETRY, retry=Retry(3)))
    bench.feed(CancelRequested("r1", run.id))
    stop(bench, run, kind=kind)
    assert state_of(bench) == (RunState.CANCELLED, Reason.REQUESTED)


def test_a_client_may_cancel_a_run_that_the_stop_is_ending() -> None:
    bench, run = bench_with_a_run(make_job(on_lost=OnLost.RETRY))
    stop(bench)
    bench.feed(CancelRequested("r1", run.id))
    end(bench, run, EndKind.CANCELLED)
    assert state_of(bench) == (RunState.CANCELLED, Reason.REQUESTED)


def test_a_cancellation_that_was_answered_survives_kill_9() -> None:
    bench, run = bench_with_a_run(make_job(on_lost=OnLost.RETRY))
    bench.feed(CancelRequested("r1", run.id))
    assert bench.reply().error is None
    bench.restart()
    end(bench, run, EndKind.LOST)
    assert state_of(bench) == (RunState.CANCELLED, Reason.REQUESTED)


def test_a_daemon_that_is_killed_while_it_ends_its_runs_leaves_the_reason() -> None:
    bench, run = bench_with_a_run()
    stop(bench)
    bench.restart()
    end(bench, run, EndKind.LOST)
    assert state_of(bench) == (RunState.LOST, Reason.STOPPED)


def test_a_second_stop_signal_tells_a_process_once() -> None:
    bench, _ = bench_with_a_run()
    stop(bench)
    bench.feed(DrainRequested(is_impatient=True))
    assert len(bench.all(StopAttempt)) == 1


# --- what never had a process ----------------------------------------------------------------------


def test_an_attempt_that_had_no_process_yet_is_due_again() -> None:
    bench = Bench(make_job())
    bench.go_to(60)
    (run,) = bench.started()
    stop(bench, run)
    assert state_of(bench) == (RunState.QUEUED, None)
    assert bench.engine.runs.slots.taken_count == 0, "the stop does not wait for it"
    bench.restart()
    again = bench.started()[-1]
    assert (again.id, again.attempt) == (run.id, 1)


def test_a_later_attempt_that_had_no_process_yet_is_due_again() -> None:
    bench, run = bench_with_a_run(make_job(retry=Retry(2)))
    end(bench, run, EndKind.RAISED)
    bench.go_to(61)
    stop(bench)
    end(bench, run, EndKind.CANCELLED, attempt=2)
    assert state_of(bench) == (RunState.QUEUED, None)
    bench.restart()
    assert (bench.started()[-1].id, bench.started()[-1].attempt) == (run.id, 2)


def test_what_waits_in_the_queue_waits_for_the_next_daemon() -> None:
    bench, run = bench_with_a_run(make_job(overlap=Overlap.QUEUE))
    bench.go_to(120)
    waiting = bench.claims()[-1]
    stop(bench, run)
    bench.restart()
    assert bench.started()[-1].id == waiting.id


# --- what is told ----------------------------------------------------------------------------------


def test_a_stop_sends_the_alert_as_any_failure_does() -> None:
    job = make_job("sync", Interval(HOUR), alert=AlertPolicy(("ann",), after_failures=1))
    bench = Bench(job)
    bench.go_to(3_600)
    (run,) = bench.started()
    bench.feed(AttemptStarted(run.id, 1, bench.wall, ME))
    stop(bench, run)
    assert titles(bench) == ["sync lost"]


@pytest.mark.parametrize("how", ["stop", "kill -9"])
def test_a_once_that_is_lost_is_told_at_once_listed_as_failing_and_repeated_by_hand(
    how: str,
) -> None:
    """It cannot fail three times in a row."""
    bench = Bench()
    bench.create(make_job("remind", Once(START + MINUTE), alert=AlertPolicy(("ann",))))
    bench.go_to(60)
    (run,) = bench.started()
    bench.feed(AttemptStarted(run.id, 1, bench.wall, ME))
    if how == "stop":
        stop(bench, run)
        bench.restart()
    else:
        bench.restart()
        end(bench, run, EndKind.LOST)
    entry = bench.engine.entries["remind"]
    assert (entry.status, entry.consecutive_failures) == (JobStatus.COMPLETED, 1)
    assert titles(bench) == ["remind lost"]
    bench.feed(RetryRequested("r1", latest(bench)))
    again = bench.started()[-1]
    assert again.retry_of == run.id
    bench.end(again)
    assert titles(bench) == ["remind lost", "remind recovered"]
    assert "remind" not in bench.engine.entries


def test_stops_do_not_pause_a_job() -> None:
    bench = Bench(make_job(overlap=Overlap.ALLOW, pause_after_failures=2))
    for number in range(1, 5):
        bench.go_to(60 * number)
        run = bench.started()[-1]
        bench.feed(AttemptStarted(run.id, 1, bench.wall, ME))
        stop(bench, run)
        bench.restart()
    entry = bench.engine.entries["tick"]
    assert (entry.consecutive_failures, entry.pause) == (4, None)


def test_only_the_failures_beside_the_stops_are_counted() -> None:
    """Two of its own pause it, whatever stops lie between; a success begins anew."""
    bench = Bench(make_job(overlap=Overlap.ALLOW, pause_after_failures=2))
    story = [EndKind.RAISED, EndKind.CANCELLED, EndKind.RETURNED]
    story += [EndKind.CANCELLED, EndKind.RAISED, EndKind.CANCELLED]
    for number, kind in enumerate(story, 1):
        bench.go_to(60 * number)
        run = bench.started()[-1]
        bench.feed(AttemptStarted(run.id, 1, bench.wall, ME))
        if kind is EndKind.CANCELLED:
            stop(bench, run)
            bench.restart()
        else:
            end(bench, run, kind)
    entry = bench.engine.entries["tick"]
    assert (entry.consecutive_failures, entry.consecutive_stops, entry.pause) == (3, 2, None)
    bench.go_to(60 * 7)
    bench.end(bench.started()[-1], EndKind.RAISED)
    pause = bench.engine.entries["tick"].pause
    assert pause is not None
    assert pause.reason.startswith("2 failures in a row")
