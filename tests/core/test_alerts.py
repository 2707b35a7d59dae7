"""Who is told of trouble, one sentence at a time."""

from __future__ import annotations

from typing import Any

from support.engine_bench import START, Bench, make_job

from luad.core.events import (
    AddMessage,
    AttemptEnded,
    AttemptStarted,
    ConfigLoaded,
    Deliver,
    SaveProgress,
)
from luad.core.model import (
    DAY,
    HOUR,
    AlertCause,
    AlertPolicy,
    CatchUp,
    Ending,
    EndKind,
    Interval,
    Origin,
    ProcessIdentity,
    RunError,
    Wanted,
)
from luad.core.requests import AcknowledgeRequested, PauseRequested
from luad.core.state import Bounds

OPS = AlertPolicy(("ops",))
HOURLY = Interval(HOUR)


def titles(bench: Bench) -> list[str]:
    assert [each.message for each in bench.all(AddMessage)] == [
        each.message for each in bench.all(Deliver)
    ], "what is delivered was stored in the same batch"
    return [each.message.title for each in bench.all(AddMessage)]


def text(bench: Bench) -> str:
    said: str = bench.all(AddMessage)[-1].message.parts[0]["text"]
    return said


def run_next(bench: Bench, outcome: str, error: RunError | None = None) -> None:
    """Go on an hour, and let what starts then end."""
    hours = (bench.wall - START) // HOUR + 1
    bench.go_to(hours * 3_600)
    run = bench.started()[-1]
    kinds = {"ok": EndKind.RETURNED, "failed": EndKind.RAISED, "late": EndKind.TIMED_OUT}
    ending = Ending(kinds[outcome], bench.wall, error=error)
    identity = ProcessIdentity(1, 2, "boot")
    bench.feed(AttemptStarted(run.id, 1, bench.wall, identity), AttemptEnded(run.id, 1, ending))


def bench_with(policy: AlertPolicy | None = OPS, **fields: Any) -> Bench:
    return Bench(make_job("sync", HOURLY, alert=policy, **fields))


def test_one_message_on_entering_and_one_on_leaving() -> None:
    bench = bench_with()
    for outcome in ("ok", "failed", "failed"):
        run_next(bench, outcome)
    assert titles(bench) == []
    run_next(bench, "failed", RunError("ValueError", "no such thing"))
    assert titles(bench) == ["sync failed"]
    said = text(bench)
    assert "ValueError: no such thing" in said
    assert "3 failures in a row" in said
    assert "Last success: Tue 22 Sep 2026 01:00:00 UTC" in said
    assert f"luad logs {bench.started()[-1].id}" in said
    for outcome in ("failed", "failed"):
        run_next(bench, outcome)
    assert titles(bench) == ["sync failed"]
    for outcome in ("ok", "ok", "failed"):
        run_next(bench, outcome)
    assert titles(bench) == ["sync failed", "sync recovered"]


def test_everybody_named_gets_it_once() -> None:
    bench = bench_with(AlertPolicy(("ops", "ann"), after_failures=1))
    run_next(bench, "failed")
    messages = [each.message for each in bench.all(AddMessage)]
    assert [each.user for each in messages] == ["ops", "ann"]
    assert len({each.id for each in messages}) == 2


def test_what_was_told_is_not_told_again_after_a_restart() -> None:
    bench = bench_with(AlertPolicy(("ops",), after_failures=2))
    for _ in range(2):
        run_next(bench, "failed")
    bench.restart()
    run_next(bench, "failed")
    assert titles(bench) == ["sync failed"]
    run_next(bench, "ok")
    assert titles(bench) == ["sync failed", "sync recovered"]


def test_a_job_that_fails_every_other_time_is_told_once_a_day() -> None:
    bench = bench_with(AlertPolicy(("ops",), after_failures=None, failures_in_24h=3))
    for _ in range(10):
        run_next(bench, "failed")
        run_next(bench, "ok")
    assert titles(bench) == ["sync failed"]
    assert "3 failures in 24 h" in text(bench)
    for _ in range(25):
        run_next(bench, "ok")
    assert titles(bench) == ["sync failed", "sync recovered"]


def test_failures_older_than_a_day_do_not_count() -> None:
    bench = bench_with(AlertPolicy(("ops",), after_failures=None, failures_in_24h=2))
    run_next(bench, "failed")
    for _ in range(DAY // HOUR):
        run_next(bench, "ok")
    run_next(bench, "failed")
    assert titles(bench) == []


def test_a_timeout_needs_no_second_time_where_it_is_asked_for() -> None:
    bench = bench_with(AlertPolicy(("ops",), also=(AlertCause.TIMEOUT,)))
    run_next(bench, "failed")
    assert titles(bench) == []
    run_next(bench, "late")
    assert titles(bench) == ["sync timed out"]


def test_nor_does_a_message_that_did_not_arrive() -> None:
    bench = bench_with(AlertPolicy(("ops",), also=(AlertCause.DELIVERY_FAILED,)))
    run_next(bench, "failed", RunError("luad.errors.DeliveryFailed", "nothing arrived"))
    assert titles(bench) == ["sync failed"]


def test_what_was_missed_is_told() -> None:
    policy = AlertPolicy(("ops",), also=(AlertCause.MISSED,))
    bench = bench_with(policy, catch_up=CatchUp.NONE)
    run_next(bench, "ok")
    bench.wall += 5 * HOUR + 1_800_000
    bench.elapsed += 5 * HOUR + 1_800_000
    bench.restart()
    assert titles(bench) == ["sync was missed"]
    assert "5 due" in text(bench)
    run_next(bench, "ok")
    assert titles(bench) == ["sync was missed", "sync recovered"]


def test_a_broken_file_is_told_and_so_is_its_mending() -> None:
    job = make_job("sync", HOURLY, alert=AlertPolicy(("ops",), also=(AlertCause.STALE_CONFIG,)))
    place = Origin("jobs.d/sync.yaml")
    bench = Bench()
    for is_stale in (False, True, True, False, False):
        bench.feed(ConfigLoaded({"sync": Wanted(job, place, is_stale)}))
    assert titles(bench) == ["sync: its file is broken", "sync recovered"]


def test_so_is_one_that_was_mended_while_luad_was_down_or_with_another_policy() -> None:
    policy = AlertPolicy(("ops",), after_failures=1, also=(AlertCause.STALE_CONFIG,))
    job = make_job("sync", HOURLY, alert=policy)
    place = Origin("jobs.d/sync.yaml")
    broken = {"sync": Wanted(job, place, stale=True)}
    bench = Bench()
    bench.feed(ConfigLoaded({"sync": Wanted(job, place)}))
    bench.feed(ConfigLoaded(broken))
    bench.restart()  # and it is good
    assert titles(bench) == ["sync: its file is broken", "sync recovered"]
    bench.feed(ConfigLoaded(broken))
    other = make_job("sync", HOURLY, alert=AlertPolicy(("ops",), after_failures=1))
    bench.feed(ConfigLoaded({"sync": Wanted(other, place)}))
    assert titles(bench)[2:] == ["sync: its file is broken", "sync recovered"]
    run_next(bench, "failed")
    assert titles(bench)[-1] == "sync failed", "nothing old stands in the way"


def test_a_paused_job_is_in_nobodys_way() -> None:
    bench = bench_with(AlertPolicy(("ops",), after_failures=1))
    bench.go_to(3_600)
    run = bench.started()[-1]
    bench.feed(PauseRequested("p", "sync"))
    bench.end(run, EndKind.RAISED)
    assert titles(bench) == []


def test_the_settings_may_name_somebody_for_all_jobs() -> None:
    bounds = Bounds(100, default_alert=AlertPolicy(("ops",), after_failures=1))
    bench = Bench(make_job("sync", HOURLY), bounds=bounds)
    run_next(bench, "failed")
    assert titles(bench) == ["sync failed"]


def test_nobody_is_told_where_nobody_is_named() -> None:
    bench = bench_with(None)
    for _ in range(5):
        run_next(bench, "failed")
    assert titles(bench) == []


def test_recovery_can_be_left_out() -> None:
    bench = bench_with(AlertPolicy(("ops",), after_failures=1, recovery=False))
    for outcome in ("failed", "ok", "failed"):
        run_next(bench, outcome)
    assert titles(bench) == ["sync failed", "sync failed"]


def test_trouble_that_a_client_knows_of_is_not_told_until_the_job_has_succeeded() -> None:
    bench = bench_with(AlertPolicy(("ops",), after_failures=2))
    run_next(bench, "failed")
    bench.feed(AcknowledgeRequested("a", "sync", "ann", "known"))
    assert bench.reply().error is None
    run_next(bench, "failed")
    bench.restart()
    run_next(bench, "failed")
    assert titles(bench) == [], "neither before nor after a restart"
    run_next(bench, "ok")
    assert titles(bench) == [], "what was not told has no recovery"
    for _ in range(2):
        run_next(bench, "failed")
    assert titles(bench) == ["sync failed"], "the acknowledgement ended with the success"


def test_an_acknowledgement_ends_at_its_instant() -> None:
    bench = bench_with(AlertPolicy(("ops",), after_failures=1))
    bench.feed(AcknowledgeRequested("a", "sync", until=bench.wall + 2 * HOUR))
    run_next(bench, "failed")
    assert titles(bench) == []
    run_next(bench, "failed")
    assert titles(bench) == ["sync failed"]


def test_an_alert_that_was_sent_before_ends_with_its_recovery() -> None:
    bench = bench_with(AlertPolicy(("ops",), after_failures=1))
    run_next(bench, "failed")
    bench.feed(AcknowledgeRequested("a", "sync"))
    run_next(bench, "failed")
    run_next(bench, "ok")
    assert titles(bench) == ["sync failed", "sync recovered"]


def test_a_job_without_a_policy_can_be_acknowledged_and_the_success_ends_that() -> None:
    bench = bench_with(None)
    bench.feed(AcknowledgeRequested("a", "sync", "ann"))
    assert bench.all(SaveProgress)[-1].alert.acknowledged is not None
    run_next(bench, "failed")
    assert bench.all(SaveProgress)[-1].alert.acknowledged is not None
    run_next(bench, "ok")
    assert bench.all(SaveProgress)[-1].alert.acknowledged is None
    bench.feed(AcknowledgeRequested("b", "nothing"))
    assert bench.reply().error == "not_found"
