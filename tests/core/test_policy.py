"""Policies as tables: a situation, and the verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luad.core.lifecycle import TRANSITIONS, RunEvent, step
from luad.core.model import (
    CATCH_UP_CAP,
    DAY,
    HOUR,
    MINUTE,
    OPEN_STATES,
    SECOND,
    TERMINAL_STATES,
    CatchUp,
    Cron,
    Ending,
    EndKind,
    Interval,
    Job,
    OnLost,
    Overlap,
    Reason,
    Retry,
    RunState,
)
from luad.core.policy import (
    Due,
    Start,
    after_ending,
    due_until,
    pauses_after,
    retry_delay_ms,
    when_due,
)

MIDNIGHT = 1_790_035_200_000  # 2026-09-22T00:00:00Z
HOURLY = Job("hourly", "h:f", Cron("0 * * * *"))
EVERY_SECOND = Job("second", "h:f", Interval(SECOND))


def at(hours: float) -> int:
    return MIDNIGHT + int(hours * HOUR)


def due(job: Job, *, after: float, now: float, cause: Reason = Reason.DOWNTIME) -> Due:
    return due_until(job, MIDNIGHT, at(after), at(now), cause)


# --- catch-up ----------------------------------------------------------------------------------


def test_nothing_is_due_between_two_occurrences() -> None:
    assert due(HOURLY, after=1, now=1.9).handled_until is None


def test_latest_runs_the_last_one_and_counts_the_others() -> None:
    found = due(replace(HOURLY, catch_up_window_ms=DAY), after=1, now=5.5)
    assert [run.scheduled_for for run in found.runs] == [at(5)]
    (skip,) = found.skips
    assert (skip.state, skip.reason) == (RunState.SKIPPED, Reason.COALESCED)
    assert (skip.first, skip.last, skip.count) == (at(2), at(4), 3)


def test_what_is_older_than_the_window_is_missed_and_says_why() -> None:
    found = due(replace(HOURLY, catch_up_window_ms=2 * HOUR), after=1, now=9.5)
    missed, coalesced = found.skips
    assert (missed.state, missed.reason) == (RunState.MISSED, Reason.DOWNTIME)
    assert (missed.first, missed.last, missed.count) == (at(2), at(7), 6)
    assert (coalesced.first, coalesced.last) == (at(8), at(8))
    assert [run.scheduled_for for run in found.runs] == [at(9)]


def test_all_runs_each_of_them_earliest_first() -> None:
    job = replace(HOURLY, catch_up=CatchUp.ALL, catch_up_window_ms=DAY)
    found = due(job, after=1, now=4.5)
    assert [run.scheduled_for for run in found.runs] == [at(2), at(3), at(4)]
    assert found.skips == ()


def test_all_beyond_the_cap_degrades_to_the_latest_and_never_to_nothing() -> None:
    job = replace(EVERY_SECOND, catch_up=CatchUp.ALL, catch_up_window_ms=DAY)
    found = due(job, after=0, now=(CATCH_UP_CAP + 1) / 3600)
    assert len(found.runs) == 1
    assert found.skips[0].count == CATCH_UP_CAP


def test_all_leaves_out_what_is_beyond_the_window_by_less_than_its_jitter() -> None:
    window, jitter = 2 * HOUR, 30 * MINUTE
    job = replace(HOURLY, catch_up=CatchUp.ALL, catch_up_window_ms=window, jitter_ms=jitter)
    first = due_until(job, MIDNIGHT, at(1), at(2.99), Reason.DOWNTIME).runs[0]
    for late_by, count in ((0, 3), (1, 2)):
        now = first.fire_at + window + late_by
        decided = due_until(job, MIDNIGHT, at(1), now, Reason.DOWNTIME)
        fresh = [each for each in decided.runs if now - each.fire_at <= window]
        assert list(decided.runs) == fresh
        assert (first in fresh) is (late_by == 0)
        missed = [(each.state, each.first, each.last, each.count) for each in decided.skips]
        instant = first.scheduled_for
        assert missed == ([] if first in fresh else [(RunState.MISSED, instant, instant, 1)])
        assert len(fresh) in {count, count - 1}  # the latest may still wait for its jitter


def test_none_runs_what_is_on_time_and_misses_the_rest() -> None:
    job = replace(HOURLY, catch_up=CatchUp.NONE, catch_up_window_ms=DAY)
    late = due(job, after=1, now=3.5)
    assert late.runs == ()
    assert sum(skip.count for skip in late.skips) == 2
    punctual = due(job, after=1, now=3.01)
    assert [run.scheduled_for for run in punctual.runs] == [at(3)]
    assert punctual.skips[0].state is RunState.MISSED


def test_ten_years_of_every_second_are_two_rows_and_one_run() -> None:
    found = due_until(EVERY_SECOND, MIDNIGHT, MIDNIGHT, MIDNIGHT + 3650 * DAY, Reason.CLOCK)
    assert len(found.runs) == 1
    assert [skip.is_count_capped for skip in found.skips] == [True, True]


def test_an_occurrence_that_waits_for_its_jitter_is_left_alone() -> None:
    job = replace(HOURLY, jitter_ms=30 * MINUTE)
    jitter = due_until(job, MIDNIGHT, at(1), at(2.99), Reason.DOWNTIME).runs[0].fire_at - at(2)
    assert jitter > 0
    assert due_until(job, MIDNIGHT, at(1), at(2) + jitter - 1, Reason.DOWNTIME).runs == ()


@given(
    catch_up=st.sampled_from(CatchUp),
    window=st.integers(0, DAY),
    every=st.integers(SECOND, HOUR),
    gap=st.integers(0, 2 * DAY),
)
def test_every_due_occurrence_is_in_exactly_one_place(
    catch_up: CatchUp, window: int, every: int, gap: int
) -> None:
    job = Job("j", "h:f", Interval(every), catch_up=catch_up, catch_up_window_ms=window)
    found = due_until(job, MIDNIGHT, MIDNIGHT, MIDNIGHT + gap, Reason.DOWNTIME)
    spans = sorted(
        [(skip.first, skip.last) for skip in found.skips]
        + [(run.scheduled_for, run.scheduled_for) for run in found.runs]
    )
    expected = MIDNIGHT + every
    for first, last in spans:
        assert first == expected
        expected = last + every
    assert expected > MIDNIGHT + gap


# --- overlap -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlap", "open_count", "waiting", "backlog", "verdict"),
    [
        (Overlap.SKIP, 0, 0, False, Start.NOW),
        (Overlap.SKIP, 1, 0, False, Start.NEVER),
        (Overlap.SKIP, 1, 0, True, Start.WHEN_ENDED),
        (Overlap.QUEUE, 1, 0, False, Start.WHEN_ENDED),
        (Overlap.QUEUE, 2, 1, False, Start.NEVER),
        (Overlap.REPLACE, 1, 0, False, Start.INSTEAD),
        (Overlap.ALLOW, 1, 0, False, Start.NOW),
        (Overlap.ALLOW, 2, 0, False, Start.NEVER),
        (Overlap.ALLOW, 1, 0, True, Start.NOW),
        (Overlap.ALLOW, 2, 0, True, Start.WHEN_ENDED),
    ],
)
def test_overlap(
    overlap: Overlap, open_count: int, waiting: int, backlog: bool, verdict: Start
) -> None:
    found = when_due(
        overlap, open_count=open_count, waiting_count=waiting, max_running=2, is_backlog=backlog
    )
    assert found is verdict


# --- retry -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry", "attempt", "delay"),
    [
        (Retry(3, 60_000), 1, 60_000),
        (Retry(3, 60_000), 2, 60_000),
        (Retry(9, 1_000, 2.0), 4, 8_000),
        (Retry(2_000, 1_000, 2.0, HOUR), 1_000, HOUR),
        (Retry(9, 1_000, 10.0, 50_000), 3, 50_000),
        (Retry(2_000, 1, 1.7e308, DAY), 1_999, DAY),
    ],
)
def test_retry_delay(retry: Retry, attempt: int, delay: int) -> None:
    assert retry_delay_ms(retry, attempt) == delay


@pytest.mark.parametrize(
    ("kind", "exit_code", "event"),
    [
        (EndKind.RETURNED, None, RunEvent.SUCCEED),
        (EndKind.EXITED, 0, RunEvent.SUCCEED),
        (EndKind.EXITED, 3, RunEvent.FAIL),
        (EndKind.RAISED, None, RunEvent.FAIL),
        (EndKind.SIGNALLED, None, RunEvent.FAIL),
        (EndKind.NOT_STARTED, None, RunEvent.FAIL),
        (EndKind.TIMED_OUT, None, RunEvent.TIME_OUT),
        (EndKind.CANCELLED, None, RunEvent.CANCEL),
        (EndKind.LOST, None, RunEvent.LOSE),
    ],
)
def test_how_an_attempt_ended_says_how_the_run_ends(
    kind: EndKind, exit_code: int | None, event: RunEvent
) -> None:
    assert after_ending(HOURLY, 1, Ending(kind, 0, exit_code)).event is event


def test_a_failure_is_retried_until_the_attempts_are_used_up() -> None:
    job = replace(HOURLY, retry=Retry(2, 5_000))
    failed = Ending(EndKind.RAISED, 1_000)
    assert after_ending(job, 1, failed).retry_at == 6_000
    assert after_ending(job, 2, failed).event is RunEvent.FAIL
    assert after_ending(None, 1, failed).event is RunEvent.FAIL
    assert after_ending(job, 1, Ending(EndKind.CANCELLED, 0)).event is RunEvent.CANCEL


def test_a_failure_that_a_repetition_cannot_cure_is_not_retried() -> None:
    job = replace(HOURLY, retry=Retry(5), on_lost=OnLost.RETRY)
    for kind in (EndKind.RAISED, EndKind.NOT_STARTED, EndKind.EXITED):
        ending = Ending(kind, 1_000, exit_code=1, is_retryable=False)
        assert after_ending(job, 1, ending).event is RunEvent.FAIL
    lost = Ending(EndKind.LOST, 1_000, is_retryable=False)
    assert after_ending(job, 1, lost).event is RunEvent.RETRY, "its end is not known"


def test_a_lost_run_is_retried_only_where_the_job_asks_for_it() -> None:
    lost = Ending(EndKind.LOST, 1_000)
    assert after_ending(replace(HOURLY, retry=Retry(5)), 1, lost).event is RunEvent.LOSE
    again = replace(HOURLY, on_lost=OnLost.RETRY)
    assert after_ending(again, 1, lost).event is RunEvent.RETRY
    assert after_ending(again, 2, lost).event is RunEvent.LOSE, "it must not go on for ever"


def test_failures_in_a_row_switch_a_job_off_when_it_says_so() -> None:
    assert not pauses_after(HOURLY, 1_000)
    assert pauses_after(replace(HOURLY, pause_after_failures=3), 3)
    assert not pauses_after(replace(HOURLY, pause_after_failures=3), 2)


# --- lifecycle ---------------------------------------------------------------------------------


def test_open_states_have_a_way_on_and_terminal_ones_have_none() -> None:
    assert set(TRANSITIONS) == set(RunState)
    assert all(TRANSITIONS[state] for state in OPEN_STATES)
    assert not any(TRANSITIONS[state] for state in TERMINAL_STATES)


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
@pytest.mark.parametrize("event", RunEvent)
def test_nothing_follows_the_end(state: RunState, event: RunEvent) -> None:
    with pytest.raises(AssertionError, match=r"a run that is .* cannot"):
        step(state, event)
