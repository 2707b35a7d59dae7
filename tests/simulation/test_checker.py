"""The checker against histories that were made by hand: one that keeps every promise, and for each promise
several that break it, so that a checker which sees nothing is seen itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from simulation.checker import PROMISES, facts_of, violations
from simulation.history import (
    Acknowledged,
    Booted,
    Draining,
    Ended,
    Fact,
    Found,
    Healed,
    History,
    Installed,
    Kept,
    Limit,
    Loaded,
    Overtaken,
    Removed,
    Sampled,
    Settled,
    Slept,
    Started,
    Stepped,
    Stopped,
    StoreFailed,
    StoreHealed,
)

from luad.core.model import (
    HOUR,
    MINUTE,
    SECOND,
    CatchUp,
    Cron,
    EndKind,
    Interval,
    Job,
    Once,
    OnLost,
    Overlap,
    Reason,
    Retry,
    Run,
    RunState,
    Trigger,
)
from luad.store.query_types import RunRow

T0 = 1_800_000_000_000 // HOUR * HOUR
JOB = Job("tick", "m:f", Interval(HOUR, T0), "r1", timeout_ms=MINUTE)


def at(minutes: float) -> int:
    return T0 + round(minutes * MINUTE)


def run(hour: int, **changes: Any) -> Run:
    due = at(60 * hour)
    made = Run(
        f"run_{hour}", "tick", "job_1", "r1", Trigger.SCHEDULE, due, due, due, RunState.SUCCEEDED
    )
    return replace(made, **{"started_at": due, "ended_at": due + SECOND, **changes})


def row(hour: int, **changes: Any) -> RunRow:
    return RunRow(run(hour, **changes))


def skip(
    first: int, last: int, reason: Reason, *, decided: float | None = None, **changes: Any
) -> RunRow:
    """Hours *first* to *last* never became a run, as was decided at that minute."""
    state = RunState.MISSED if reason in {Reason.DOWNTIME, Reason.CLOCK} else RunState.SKIPPED
    when = at(60 * last) if decided is None else at(decided)
    base = run(last, state=state, reason=reason, claimed_at=when)
    base = replace(base, id=f"run_skip_{last}", started_at=None, ended_at=None)
    return replace(RunRow(base, at(60 * first), last - first + 1), **changes)


def up(minutes: float = -1) -> Booted:
    return Booted(at(minutes), at(minutes))


def down(minutes: float) -> Stopped:
    return Stopped(at(minutes), at(minutes))


def installed(minutes: float = -1, job: Job = JOB, job_id: str = "job_1") -> Installed:
    return Installed(at(minutes), at(minutes), job_id, job)


def started(hour: float, attempt: int = 1, run_id: str = "", **changes: Any) -> Started:
    name = run_id or f"run_{hour:g}"
    made = Started(at(60 * hour), at(60 * hour), name, attempt, "job_1", "r1")
    return replace(made, **changes)


def ended(
    hour: float,
    attempt: int = 1,
    run_id: str = "",
    kind: EndKind = EndKind.RETURNED,
    after: int = SECOND,
) -> Ended:
    when = at(60 * hour) + after
    return Ended(when, when, run_id or f"run_{hour:g}", attempt, kind)


def history(log: Sequence[Fact], rows: Sequence[RunRow], until: float, **changes: Any) -> History:
    return replace(History(tuple(log), tuple(rows), at(until), at(until)), **changes)


def broken(log: Sequence[Fact], rows: Sequence[RunRow], until: float, **changes: Any) -> set[str]:
    """The names of the promises that a history breaks."""
    found = violations(history(log, rows, until, **changes))
    return {text.partition(":")[0] for text in found}


def ran(*hours: int) -> tuple[list[Fact], list[RunRow]]:
    """Runs at these hours, as they should be."""
    facts: list[Fact] = []
    for hour in hours:
        facts += [started(hour), ended(hour)]
    return facts, [row(hour) for hour in hours]


# --- what is right ---------------------------------------------------------------------------------


def test_a_history_that_keeps_every_promise_breaks_none() -> None:
    facts, rows = ran(0, 1)
    rows += [
        skip(2, 4, Reason.DOWNTIME, decided=301),
        row(5, trigger=Trigger.CATCHUP, claimed_at=at(301), missed_count=3),
        row(6, state=RunState.FAILED, attempt=2),
        skip(7, 7, Reason.OVERLAP),
        skip(8, 10, Reason.PAUSED, decided=480),
    ]
    log = [
        up(),
        installed(),
        *facts,
        Acknowledged(at(70), at(70), ("tick", "definition"), "r1"),
        down(90),
        up(301),
        Found(at(301), at(301), {("tick", "definition"): "r1"}),
        started(5, wall=at(301), steady=at(301)),
        Ended(at(302), at(302), "run_5", 1, EndKind.TIMED_OUT),
        started(6),
        ended(6, kind=EndKind.RAISED),
        started(6.1, 2, "run_6"),
        Sampled(at(365), at(365), {"memory": 5.0}),
        ended(6.1, 2, "run_6", EndKind.RAISED),
        Settled(at(367), at(367), "run_6", facts_of(rows[4].run)),
        Healed(at(368), at(368)),
    ]
    job = replace(JOB, retry=Retry(2, 5 * MINUTE))
    log[1] = installed(job=job)
    limits = {"memory": Limit(most=6)}
    assert violations(history(log, rows, 601, limits=limits)) == []


def test_every_promise_is_looked_at() -> None:
    names = "\n".join(promise.__doc__ or "" for promise in PROMISES)
    for number in range(1, 16):
        assert f"I{number}" in names
        assert any(f"i{number}_" in name for name in globals() if name.startswith("test_")), number


# --- what is wrong ---------------------------------------------------------------------------------


def test_i1_a_claim_before_its_time() -> None:
    facts, rows = ran(1)
    early = [row(1, claimed_at=at(60) - 1)]
    assert broken([up(), installed(1), *facts], rows, 90) == set()
    assert broken([up(), installed(1), *facts], early, 90) == {"I1"}


def test_i1_a_start_before_the_jitter_is_over() -> None:
    rows = [row(1, fire_at=at(60) + 5, claimed_at=at(60) + 5)]
    log = [up(), installed(1), started(1), ended(1)]
    assert broken(log, rows, 90) == {"I1"}


def test_i2_a_row_that_comes_late_for_no_reason() -> None:
    facts = [started(1, wall=at(61), steady=at(61)), ended(1, after=2 * MINUTE)]
    rows = [row(1, claimed_at=at(61))]
    assert broken([up(), installed(1), *facts], rows, 90) == {"I2"}
    assert broken([up(), installed(1), Slept(at(61), at(61), MINUTE), *facts], rows, 90) == set()


def test_i2_an_interval_off_its_beat_after_the_clock_was_set() -> None:
    ahead = 10 * MINUTE
    second = row(2, scheduled_for=at(130), fire_at=at(130), claimed_at=at(130))
    log = [
        up(),
        installed(1),
        started(1),
        ended(1),
        Stepped(at(80), at(80) - ahead, ahead),
        Started(at(130), at(130) - ahead, "run_2", 1, "job_1", "r1"),
        Ended(at(131), at(131) - ahead, "run_2", 1, EndKind.RETURNED),
    ]
    assert broken(log, [row(1), second], 150) == set()
    log[-2:] = [
        Started(at(125), at(125) - ahead, "run_2", 1, "job_1", "r1"),
        Ended(at(126), at(126) - ahead, "run_2", 1, EndKind.RETURNED),
    ]
    early = row(2, scheduled_for=at(125), fire_at=at(125), claimed_at=at(125))
    assert broken(log, [row(1), early], 150) == {"I2"}


@pytest.mark.parametrize("start_at", [None, at(0)])
def test_i2_an_interval_that_is_switched_on_off_the_beat_that_a_set_clock_left(
    start_at: int | None,
) -> None:
    """The grid moves with the clock while the job is switched off, with `start_at` as without."""
    ahead = 10 * MINUTE
    job = replace(JOB, schedule=Interval(HOUR, start_at))
    log = [
        up(),
        Installed(at(0), at(0), "job_1", job),
        Installed(at(65), at(65), "job_1", replace(job, enabled=False)),
        Stepped(at(80), at(80) - ahead, ahead),
        Installed(at(90), at(90) - ahead, "job_1", job),
    ]

    def lived(*minutes: int) -> set[str]:
        facts: list[Fact] = list(log)
        for minute in minutes:
            steady = at(minute) - (0 if minute < 80 else ahead)
            begun = Started(at(minute), steady, f"run_{minute}", 1, "job_1", "r1")
            ended_at = begun.wall + SECOND
            facts += [
                begun,
                Ended(ended_at, steady + SECOND, begun.run_id, 1, EndKind.RETURNED),
            ]
        rows = [
            row(0, id=f"run_{each}", scheduled_for=at(each), fire_at=at(each), claimed_at=at(each))
            for each in minutes
        ]
        facts.sort(key=lambda fact: fact.steady)
        return broken(facts, rows, 200)

    assert lived(60, 130, 190) == set()
    assert lived(60, 120, 180) == {"I2"}


def test_i2_a_cron_line_that_is_silent_where_the_clock_comes_by_again() -> None:
    """Instants that a row of a whole span stood for come again, and then they have their own."""
    back, back_at = -185 * MINUTE, at(190)
    log = [
        up(),
        installed(job=replace(JOB, schedule=Cron("0 * * * *"))),
        down(-0.5),
        up(190),
        started(3, wall=back_at, steady=back_at),
        Ended(back_at + 1, back_at + 1, "run_3", 1, EndKind.RETURNED),
        Stepped(back_at + 2 + back, back_at + 2, back),
    ]
    rows = [
        skip(0, 2, Reason.COALESCED, decided=190),
        row(3, claimed_at=back_at, trigger=Trigger.CATCHUP, ended_at=back_at + 1),
    ]
    later = {"steady": at(70) - back}
    assert broken(log, rows, 70, **later) == {"I2"}
    log += [
        started(1, steady=at(60) - back),
        Ended(at(61), at(61) - back, "run_1", 1, EndKind.RETURNED),
    ]
    assert broken(log, [*rows, row(1)], 70, **later) == set()


def test_i3_an_attempt_that_is_started_twice() -> None:
    facts, rows = ran(1)
    again = [started(1, wall=at(62), steady=at(62)), ended(1, after=3 * MINUTE)]
    assert "I3" in broken([up(), installed(1), *facts, *again], rows, 90)


def test_i3_an_occurrence_that_is_claimed_twice() -> None:
    facts, rows = ran(1)
    rows += [row(1, id="run_other", claimed_at=at(61), trigger=Trigger.CATCHUP)]
    assert "I3" in broken([up(), installed(1), Slept(at(61), at(61), 1), *facts], rows, 90)


def test_i3_a_start_without_a_row() -> None:
    facts, _ = ran(1)
    rows = [skip(1, 1, Reason.OVERLAP)]
    assert broken([up(), installed(1), *facts], rows, 90) == {"I3"}


def test_i3_a_start_while_nothing_can_be_written() -> None:
    facts, rows = ran(1)
    log = [up(), installed(1), StoreFailed(at(59), at(59)), *facts]
    assert broken([*log, StoreHealed(at(70), at(70))], rows, 90) == {"I3"}


def test_i4_an_occurrence_without_a_row() -> None:
    facts, rows = ran(1, 3)
    assert broken([up(), installed(1), *facts], rows, 200) == {"I4"}
    rows += [skip(2, 2, Reason.OVERLAP)]
    assert broken([up(), installed(1), *facts], rows, 200) == set()


def test_i4_silence_until_a_removal_and_not_beyond_it() -> None:
    facts, rows = ran(1)
    log = [up(), installed(1), *facts]
    assert broken([*log, Removed(at(119), at(119), "job_1")], rows, 500) == set()
    assert broken([*log, Removed(at(121), at(121), "job_1")], rows, 500) == {"I4"}


def test_i4_nothing_is_owed_while_the_daemon_is_down_or_drains() -> None:
    facts, rows = ran(1)
    for gone in (down(119), Draining(at(119), at(119)), StoreFailed(at(119), at(119))):
        assert broken([up(), installed(1), *facts, gone], rows, 500) == set()


def test_i4_one_occurrence_with_two_rows() -> None:
    facts, rows = ran(1)
    rows += [skip(1, 2, Reason.COALESCED, decided=121)]
    log = [up(), installed(1), *facts, Slept(at(121), at(121), HOUR)]
    assert "I4" in broken(log, rows, 130)


def test_i4_a_row_that_miscounts() -> None:
    rows = [skip(1, 3, Reason.PAUSED, count=2)]
    assert broken([up(), installed(1)], rows, 190) == {"I4"}


def test_i4_a_run_that_is_running_without_a_process() -> None:
    log = [up(), installed(1), started(1), ended(1)]
    rows = [row(1, state=RunState.RUNNING)]
    assert broken(log, rows, 90) == {"I4"}
    assert broken([*log[:3]], rows, 60.5, alive=frozenset({"run_1"})) == set()


def test_i5_a_start_after_the_removal() -> None:
    log = [up(), installed(1), Removed(at(60), at(60), "job_1"), started(1), ended(1)]
    assert "I5" in broken(log, [row(1)], 90)
    assert broken([*log[:2], *log[3:], log[2]], [row(1)], 90) == set()


def test_i6_a_start_of_a_definition_that_is_not_in_force() -> None:
    facts, rows = ran(1)
    newer = installed(59, replace(JOB, revision="r2"))
    assert broken([up(), installed(1), newer, *facts], rows, 90) == {"I6"}
    facts[0] = started(
        1, within=2 * MINUTE
    )  # as a row tells it: it was decided before the edit, maybe
    assert broken([up(), installed(1), newer, *facts], rows, 90) == set()
    facts[0] = started(1, within=MINUTE // 2)
    assert broken([up(), installed(1), newer, *facts], rows, 90) == {"I6"}
    facts[0] = started(1, revision="")
    assert broken([up(), installed(1), newer, *facts], rows, 90) == set()


def test_i6_a_run_for_an_instant_at_which_nothing_was_due() -> None:
    facts, rows = ran(1)
    phantom = row(1, id="run_p", scheduled_for=at(70), fire_at=at(70), claimed_at=at(70))
    log = [up(), installed(1), *facts, started(70 / 60, run_id="run_p")]
    log += [ended(70 / 60, run_id="run_p")]
    assert broken(log, [*rows, phantom], 90) == {"I6"}


def late(hour: int, minute: float, **changes: Any) -> tuple[list[Fact], RunRow]:
    """Start the occurrence of that hour at that minute."""
    facts = [
        started(hour, wall=at(minute), steady=at(minute)),
        Ended(at(minute), at(minute), f"run_{hour}", 1, EndKind.RETURNED),
    ]
    return facts, row(hour, claimed_at=at(minute), trigger=Trigger.CATCHUP, **changes)


@pytest.mark.parametrize(
    ("policy", "hours", "is_right"),
    [
        (CatchUp.LATEST, [3], True),
        (CatchUp.LATEST, [2, 3], False),
        (CatchUp.ALL, [2, 3], True),
        (CatchUp.ALL, [1, 2, 3], False),  # the first one is beyond the window
        (CatchUp.NONE, [3], False),
    ],
)
def test_i7_more_catch_up_than_the_policy_says(
    policy: CatchUp, hours: list[int], *, is_right: bool
) -> None:
    job = replace(
        JOB, catch_up=policy, catch_up_window_ms=100 * MINUTE, overlap=Overlap.ALLOW, max_running=9
    )
    log, rows = [up(), installed(1, job), down(2), up(195)], []
    for hour in hours:
        facts, made = late(hour, 195)
        log, rows = [*log, *facts], [*rows, made]
    others = [hour for hour in (1, 2, 3) if hour not in hours]
    for hour in others:
        reason = Reason.COALESCED if hour == 2 else Reason.DOWNTIME
        rows.append(skip(hour, hour, reason, decided=195))
    assert broken(log, rows, 200) == (set() if is_right else {"I7"})


def test_i7_less_catch_up_than_the_policy_says() -> None:
    log = [up(), installed(1), down(50), up(75)]
    assert broken(log, [skip(1, 1, Reason.DOWNTIME, decided=75)], 90) == {"I7"}
    assert broken(log, [skip(1, 1, Reason.COALESCED, decided=75)], 90) == {"I7"}


def test_i8_two_runs_of_a_job_at_once() -> None:
    long = replace(JOB, timeout_ms=10 * HOUR)
    facts = [started(1), started(2), ended(1, after=2 * HOUR), ended(2)]
    rows = [row(1), row(2)]
    assert broken([up(), installed(1, long), *facts], rows, 179) == {"I8"}
    allowed = replace(long, overlap=Overlap.ALLOW, max_running=2)
    assert broken([up(), installed(1, allowed), *facts], rows, 179) == set()
    forced = [facts[0], replace(facts[1], is_forced=True), *facts[2:]]
    assert broken([up(), installed(1, long), *forced], rows, 179) == set()


def test_i8_a_process_that_outlives_its_daemon_beside_the_next_run() -> None:
    long = replace(JOB, timeout_ms=10 * HOUR)
    log = [up(), installed(1, long), started(1), down(70), up(71), started(2), ended(2)]
    log += [ended(1, kind=EndKind.LOST, after=90 * MINUTE)]
    assert broken(log, [row(1, state=RunState.LOST), row(2)], 170) == {"I8"}


def test_i8_an_attempt_beside_the_one_before_it() -> None:
    """Even where runs may go on side by side, the attempts of one may not."""
    job = replace(
        JOB, overlap=Overlap.ALLOW, max_running=9, retry=Retry(2, 0), timeout_ms=10 * HOUR
    )
    log = [up(), installed(1, job), started(1), started(1.1, 2, "run_1")]
    log += [ended(1, after=10 * MINUTE, kind=EndKind.RAISED), ended(1.1, 2, "run_1", after=HOUR)]
    assert "I8" in broken(log, [row(1, attempt=2)], 100)
    log[3], log[4] = ended(1, kind=EndKind.RAISED), started(1.1, 2, "run_1")
    assert broken(log, [row(1, attempt=2)], 100) == set()


def test_i8_a_queue_of_more_than_one() -> None:
    job = replace(JOB, overlap=Overlap.QUEUE, timeout_ms=10 * HOUR)
    log = [up(), installed(1, job), started(1), ended(1, after=2 * HOUR + MINUTE)]
    log += [started(3.1, run_id="run_2"), ended(3.1, run_id="run_2")]
    first, second = row(1, ended_at=at(181)), row(2, started_at=at(186), ended_at=at(187))
    assert broken(log, [first, second, skip(3, 3, Reason.OVERLAP)], 230) == set()
    log += [started(3.2, run_id="run_3"), ended(3.2, run_id="run_3")]
    third = row(3, started_at=at(192), ended_at=at(193))
    assert broken(log, [first, second, third], 230) == {"I8"}


def tries(
    job: Job, second: float, kind: EndKind = EndKind.RAISED, log: Sequence[Fact] = ()
) -> set[str]:
    facts = [started(1), ended(1, kind=kind), *log]
    facts += [started(second, 2, "run_1"), ended(second, 2, "run_1")]
    return broken([up(), installed(1, job), *facts], [row(1, attempt=2)], 100)


def test_i9_an_attempt_too_many_too_soon_or_after_a_success() -> None:
    job = replace(JOB, retry=Retry(2, 5 * MINUTE))
    assert tries(job, 1.1) == set()
    assert tries(job, 1.05) == {"I9"}
    assert tries(replace(JOB, retry=Retry(1)), 1.1) == {"I9"}
    assert tries(job, 1.1, EndKind.RETURNED) == {"I9"}
    assert tries(job, 1.1, EndKind.CANCELLED) == {"I9"}


def test_i9_an_end_that_nobody_saw_may_be_followed_where_the_job_asks_for_it() -> None:
    crash = [down(60.1), up(60.2)]
    assert tries(replace(JOB, on_lost=OnLost.RETRY), 1.1, log=crash) == set()
    assert tries(replace(JOB, on_lost=OnLost.RETRY), 1.1, EndKind.RETURNED, crash) == set()
    assert tries(JOB, 1.1, log=crash) == {"I9"}


def test_i10_a_process_that_outlives_its_timeout() -> None:
    log = [up(), installed(1), started(1)]
    assert broken([*log, ended(1, after=70 * SECOND)], [row(1)], 90) == set()
    assert broken([*log, ended(1, after=71 * SECOND)], [row(1)], 90) == {"I10"}
    running = [row(1, state=RunState.RUNNING)]
    assert broken(log, running, 90, alive=frozenset({"run_1"})) == {"I10"}


def test_i10_a_process_that_outlives_its_run() -> None:
    facts, rows = ran(1)
    log = [up(), installed(1), *facts]
    assert broken(log, rows, 90, alive=frozenset({"run_1"})) == {"I10"}


@pytest.mark.parametrize(
    ("key", "said", "found"),
    [
        (("tick", "definition"), "r2", {("tick", "definition"): "r1"}),
        (("tick", "definition"), "r1", {}),
        (("gone", "definition"), None, {("gone", "definition"): "r1"}),
        (("tick", "paused"), True, {("tick", "paused"): False}),
    ],
)
def test_i11_something_acknowledged_that_is_not_found(
    key: tuple[str, str], said: Any, found: dict[tuple[str, str], Any]
) -> None:
    told = Acknowledged(at(2), at(2), key, said)
    log = [up(), installed(1), told, down(3), up(4), Found(at(4), at(4), found)]
    assert broken(log, [], 50) == {"I11"}
    overtaken = [*log[:3], Overtaken(at(3), at(3), key), *log[3:]]
    assert broken(overtaken, [], 50) == set()


def test_i11_a_run_that_was_acknowledged_and_has_no_row() -> None:
    told = Acknowledged(at(2), at(2), ("run_x", "run"), True)
    assert broken([up(), installed(1), told], [], 50) == {"I11"}


def test_i12_a_file_that_touches_the_job_of_another() -> None:
    kept, wanted = Kept("r1", at(60)), {"tick": "r1", "other": "r1"}
    first = Loaded(at(1), at(1), wanted, {}, {"tick": kept, "other": kept})
    cases: list[tuple[dict[str, Kept], set[str]]] = [
        ({"tick": kept}, set()),
        ({}, {"I12"}),
        ({"tick": replace(kept, waits_for=at(90))}, {"I12"}),
        ({"tick": replace(kept, failures=2)}, {"I12"}),
        ({"tick": replace(kept, revision="r0")}, {"I12"}),
    ]
    for after, expected in cases:
        second = Loaded(at(2), at(2), {"tick": "r1"}, {"tick": kept, "other": kept}, after)
        assert broken([up(), installed(1), first, second], [], 50) == expected


def test_i13_a_row_that_changes_after_its_end() -> None:
    facts, rows = ran(1)
    log = [up(), installed(1), *facts]
    was = Settled(at(62), at(62), "run_1", facts_of(run(1)))
    assert broken([*log, was], rows, 90) == set()
    for changes in ({"state": RunState.FAILED}, {"attempt": 2}, {"ended_at": at(80)}):
        assert "I13" in broken([*log, was], [row(1, **changes)], 90)
    other = Settled(at(63), at(63), "run_1", facts_of(run(1, reason=Reason.REQUESTED)))
    assert broken([*log, other, was], rows, 90) == {"I13"}
    gone = [replace(each, run_id="run_gone") for each in (other, was)]  # by retention
    assert broken([*log, *gone], rows, 90) == {"I13"}


def test_i14_something_that_grows_or_is_too_much() -> None:
    def samples(values: Sequence[float]) -> list[Fact]:
        return [
            Sampled(at(n / 10), at(n / 10), {"memory": value}) for n, value in enumerate(values)
        ]

    steady, growing = [1, 5, 9, 9, 10, 9, 10, 9], [1, 2, 3, 4, 5, 6, 7, 8]
    limits = {"memory": Limit(most=10, growth=1)}
    assert broken([up(), *samples(steady)], [], 50, limits=limits) == set()
    assert broken([up(), *samples(growing)], [], 50, limits=limits) == {"I14"}
    limits = {"memory": Limit(most=10)}
    assert broken([up(), *samples(growing)], [], 50, limits=limits) == set()
    assert broken([up(), *samples([*steady, 11])], [], 50, limits=limits) == {"I14"}


def test_i15_a_schedule_that_is_late_although_everything_is_well_again() -> None:
    healed = Healed(at(50), at(50))
    facts, made = late(1, 70)
    log = [up(), installed(1), healed, Slept(at(70), at(70), 15 * MINUTE), *facts]
    assert broken(log, [made], 90) == {"I15"}
    log[2] = Healed(at(59.5), at(59.5))  # it has a minute to come to itself
    assert broken(log, [made], 90) == set()


def test_i15_a_run_that_waits_for_nothing() -> None:
    waiting = [row(1, state=RunState.QUEUED, started_at=None, ended_at=None)]
    assert broken([up(), installed(1)], waiting, 90) == {"I15"}
    forgotten = [row(1, state=RunState.RETRYING, retry_at=at(70))]
    log = [up(), installed(1), started(1), ended(1, kind=EndKind.RAISED)]
    assert broken(log, forgotten, 90) == {"I15"}
    assert broken(log, forgotten, 69) == set()


# --- stops -----------------------------------------------------------------------------------------


def stopped(
    job: Job, state: RunState, reason: Reason | None, *then: Fact, **changes: Any
) -> set[str]:
    """What a history breaks in which a stop has ended the run of the first hour. *then*: what follows."""
    end = ended(1, kind=EndKind.CANCELLED, after=30 * SECOND)
    log = [up(), installed(1, job), started(1), Draining(at(60.2), at(60.2)), end, down(61)]
    return broken([*log, *then], [row(1, state=state, reason=reason, **changes)], 61)


def test_i16_a_run_that_a_stop_had_to_end_is_lost_or_tried_again() -> None:
    again = replace(JOB, on_lost=OnLost.RETRY)
    assert stopped(JOB, RunState.LOST, Reason.STOPPED) == set()
    assert stopped(JOB, RunState.CANCELLED, Reason.REQUESTED) == set()
    assert stopped(JOB, RunState.CANCELLED, Reason.DRAINING) == {"I16"}
    assert stopped(JOB, RunState.CANCELLED, Reason.STOPPED) == {"I16"}
    assert stopped(JOB, RunState.CANCELLED, None) == {"I16"}
    assert stopped(again, RunState.RETRYING, None, retry_at=at(61)) == set()
    assert stopped(again, RunState.LOST, Reason.STOPPED) == {"I16"}
    assert stopped(again, RunState.LOST, Reason.STOPPED, attempt=2) == {"I16"}, "no process"


def test_i16_a_run_that_waits_for_its_next_attempt_goes_with_its_job() -> None:
    again = replace(JOB, on_lost=OnLost.RETRY)
    gone = (up(61.1), Removed(at(61.2), at(61.2), "job_1"))
    assert stopped(again, RunState.CANCELLED, Reason.REMOVED, *gone) == set()
    assert stopped(again, RunState.CANCELLED, Reason.REMOVED) == {"I16"}, "the job is there"
    assert stopped(again, RunState.CANCELLED, Reason.STOPPED, *gone) == {"I16"}
    assert stopped(JOB, RunState.CANCELLED, Reason.REMOVED, *gone) == {"I16"}, "it is lost at once"


def test_i16_a_run_that_never_had_a_process_is_not_lost() -> None:
    log = [up(), installed(), *ran(0)[0], Draining(at(60), at(60)), down(61)]
    lost = row(1, state=RunState.LOST, reason=Reason.STOPPED, started_at=None)
    assert broken(log, [row(0), lost], 62) == {"I16"}
    settled = Settled(at(61.1), at(61.1), "run_1", facts_of(lost.run))
    assert broken([*log[:-1], settled, log[-1]], [row(0), lost], 62) == {"I16"}
    assert broken([*log, up(61.1), settled], [row(0), lost], 62) == set(), "killed within its stop"
    queued = row(1, state=RunState.QUEUED, started_at=None, ended_at=None)
    assert broken(log, [row(0), queued], 62) == set()


def test_i16_an_attempt_after_a_stop_that_nothing_asked_for() -> None:
    stop = [Draining(at(60), at(60)), down(60.1), up(60.2)]
    job = replace(JOB, retry=Retry(3))
    for kind in (EndKind.CANCELLED, EndKind.LOST):
        assert tries(replace(job, on_lost=OnLost.RETRY), 1.1, kind, stop) == set()
        assert tries(job, 1.1, kind, stop) == {"I16"}


def test_i11_an_attempt_of_a_run_whose_cancellation_was_acknowledged() -> None:
    job = replace(JOB, on_lost=OnLost.RETRY)
    told = Acknowledged(at(60), at(60), ("run_1", "cancelled"), True)
    assert tries(job, 1.1, EndKind.LOST, [told, down(60.1), up(60.2)]) == {"I11"}


# --- resumed ---------------------------------------------------------------------------------------


def resumed(hour: int, at_minute: float, **changes: Any) -> RunRow:
    fields: dict[str, Any] = {"id": f"run_{hour}_{at_minute:g}", "trigger": Trigger.RESUME}
    fields |= {"claimed_at": at(at_minute), "fire_at": at(at_minute), "ended_at": at(at_minute + 1)}
    return row(hour, **{**fields, **changes})


def test_the_runs_of_a_resume_stand_beside_the_row_of_the_pause() -> None:
    paused = skip(1, 3, Reason.PAUSED)
    log = [up(), installed(1)]
    caught_up = [resumed(2, 200), resumed(3, 200)]
    for minute, each in zip((200, 202), caught_up, strict=True):  # one after the other
        name = each.run.id
        log += [
            Started(at(minute), at(minute), name, 1, "job_1", "r1"),
            Ended(at(minute + 1), at(minute + 1), name, 1, EndKind.RETURNED),
        ]
    assert broken(log, [paused, *caught_up], 220) == set()


def resumes(*rows: RunRow) -> set[str]:
    return broken([up(), installed(1)], [skip(1, 3, Reason.PAUSED), *rows], 230)


def test_i3_two_runs_for_one_instant_of_one_resume() -> None:
    one, other = resumed(2, 200), resumed(2, 210)
    assert resumes(one, other) == set(), "of two resumes"
    assert resumes(one, resumed(2, 200, id="run_twice")) == {"I3"}


def test_i6_a_resumed_run_that_no_pause_has_skipped() -> None:
    assert resumes(resumed(3, 200, scheduled_for=at(170))) == set()
    assert resumes(resumed(3, 200, scheduled_for=at(190))) == {"I6"}


def test_i7_more_resumed_runs_than_there_may_be() -> None:
    many = [resumed(2, 200, id=f"run_{n}", scheduled_for=at(90) + n) for n in range(101)]
    assert resumes(*many) == {"I7"}
    assert resumes(*many[1:]) == set()


def test_a_once_in_the_past_is_late_because_it_was_asked_for_late() -> None:
    once = replace(JOB, schedule=Once(at(10)))
    facts = [
        started(1, wall=at(30), steady=at(30)),
        Ended(at(31), at(31), "run_1", 1, EndKind.RETURNED),
    ]
    made = row(1, scheduled_for=at(10), fire_at=at(10), claimed_at=at(30))
    assert broken([up(), installed(30, once), *facts], [made], 50) == set()
    assert broken([up(), installed(30, once)], [], 50) == {"I4"}
