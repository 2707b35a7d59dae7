"""Occurrences of every kind of schedule, jitter, and what schedules are called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.cost import turns

from luad.core.cron.zones import END
from luad.core.model import DAY, HOUR, MINUTE, SECOND, Cron, Interval, Job, Once
from luad.core.schedule import (
    count_occurrences,
    describe_schedule,
    explain_schedule,
    fire_at,
    jitter_of,
    latest_occurrence,
    next_occurrence,
    occurrences,
    schedule_key,
)

if TYPE_CHECKING:
    from luad.core.model import Instant, Schedule

YEAR = 365 * DAY


def at(text: str) -> Instant:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def make_job(schedule: Schedule, name: str = "report", jitter_ms: int = 0) -> Job:
    return Job(name, "reports:daily", schedule, jitter_ms=jitter_ms)


NOW = at("2026-11-22T09:31:00")

# --- cron and once -----------------------------------------------------------------------------


def test_a_cron_schedule_is_due_by_its_own_zone() -> None:
    summer = Cron("0 9 * * *", "America/New_York")
    assert next_occurrence(summer, 0, at("2026-07-01T00:00")) == at("2026-07-01T13:00")
    assert next_occurrence(summer, 0, at("2026-12-01T00:00")) == at("2026-12-01T14:00")


def test_once_is_due_once() -> None:
    once = Once(NOW)
    assert next_occurrence(once, 0, NOW - 1) == NOW
    assert next_occurrence(once, 0, NOW) is None
    assert latest_occurrence(once, 0, NOW - 1, NOW) == NOW
    assert latest_occurrence(once, 0, NOW, NOW + 1) is None
    assert occurrences(once, 0, 0, NOW, 5) == [NOW]
    assert count_occurrences(once, 0, 0, NOW, 5) == (1, False)
    assert count_occurrences(once, 0, 0, NOW - 1, 5) == (0, False)


# --- intervals ---------------------------------------------------------------------------------


def test_an_interval_with_a_start_begins_with_it() -> None:
    hourly = Interval(HOUR, start_at=NOW)
    assert next_occurrence(hourly, NOW, NOW - YEAR) == NOW
    assert next_occurrence(hourly, NOW, NOW) == NOW + HOUR
    assert next_occurrence(hourly, NOW, NOW + 90 * MINUTE) == NOW + 2 * HOUR
    assert latest_occurrence(hourly, NOW, NOW - YEAR, NOW - 1) is None
    assert latest_occurrence(hourly, NOW, NOW - 1, NOW) == NOW


def test_an_interval_without_a_start_begins_one_step_after_it_was_installed() -> None:
    hourly = Interval(HOUR)
    assert next_occurrence(hourly, NOW, NOW - YEAR) == NOW + HOUR
    assert next_occurrence(hourly, NOW, NOW) == NOW + HOUR
    assert latest_occurrence(hourly, NOW, NOW - YEAR, NOW + HOUR - 1) is None
    assert count_occurrences(hourly, NOW, NOW - YEAR, NOW + HOUR, 9) == (1, False)


def test_ten_years_of_a_one_second_interval_are_counted_without_walking() -> None:
    quick = Interval(SECOND)
    later = NOW + 10 * YEAR
    assert count_occurrences(quick, NOW, NOW, later, 100) == (100, True)
    assert count_occurrences(quick, NOW, NOW, later, 10**9) == (10 * YEAR // SECOND, False)
    assert latest_occurrence(quick, NOW, NOW, later + 7) == later
    assert len(occurrences(quick, NOW, NOW, later, 100)) == 100


def test_nothing_is_due_after_the_end_of_the_calendar() -> None:
    assert next_occurrence(Interval(DAY), 0, END) is None
    assert next_occurrence(Cron("* * * * *"), 0, END) is None
    assert latest_occurrence(Cron("0 0 1 1 *"), 0, 0, 10**18) == at("9997-01-01")


# --- the latest, the count and the list, against a naive walk -----------------------------------

schedules = st.one_of(
    st.sampled_from(
        [
            Cron("*/20 * * * * *"),
            Cron("* * * * *"),
            Cron("*/7 8-9 * * 1"),
            Cron("30 2 * * *", "America/New_York"),
            Cron("30 * * * *", "Australia/Lord_Howe"),
            Cron("0 0 L * *", "Pacific/Apia"),
            Cron("0 0 29 2 *", "Europe/Berlin"),
            Once(NOW),
        ]
    ),
    st.builds(
        Interval, st.integers(1, 3 * DAY), st.one_of(st.none(), st.integers(NOW - DAY, NOW + DAY))
    ),
)
points = st.one_of(
    st.integers(NOW - 2 * YEAR, NOW + 2 * YEAR),
    st.integers(NOW - DAY, NOW + DAY),
    st.integers(at("2026-11-01T04:00"), at("2026-11-01T08:00")),
)


@given(schedules, points, points, st.integers(0, 30))
@settings(max_examples=300, deadline=None)
@example(Cron("30 1 * * *", "America/New_York"), at("2026-11-01T05:30"), at("2026-11-01T06:30"), 3)
@pytest.mark.slow
def test_what_is_said_of_a_span_agrees_with_walking_it(
    schedule: Schedule, after: Instant, until: Instant, cap: int
) -> None:
    grid_at = NOW - HOUR
    if isinstance(schedule, Interval) and schedule.start_at is not None:
        grid_at = schedule.start_at
    latest = latest_occurrence(schedule, grid_at, after, until)
    first = next_occurrence(schedule, grid_at, after)
    if latest is None:
        assert first is None or first > until
    else:
        assert first is not None
        assert first <= latest <= until
        following = next_occurrence(schedule, grid_at, latest)
        assert following is None or following > until
        assert next_occurrence(schedule, grid_at, latest - 1) == latest

    walked, now = [], after
    while (due := next_occurrence(schedule, grid_at, now)) is not None and due <= until:
        assert due > now
        if len(walked) > cap:
            break
        walked.append(due)
        now = due
    assert occurrences(schedule, grid_at, after, until, cap) == walked[:cap]
    count, is_capped = count_occurrences(schedule, grid_at, after, until, cap)
    assert (count, is_capped) == (min(len(walked), cap), len(walked) > cap)


@pytest.mark.parametrize(
    "expression",
    ["* * * * * *", "* * 8 * * *", "* 9 * * *", "0 0 1 1 *", "0 0 29 2 *", "*/30 30 2 * * 1-5"],
)
def test_the_latest_over_a_century_costs_next_to_nothing(expression: str) -> None:
    schedule = Cron(expression, "America/New_York")

    assert turns(lambda: latest_occurrence(schedule, 0, NOW - 100 * YEAR, NOW)) < 5
    assert latest_occurrence(schedule, 0, NOW - 100 * YEAR, NOW) is not None


# --- jitter ------------------------------------------------------------------------------------


def test_jitter_is_the_same_after_every_restart() -> None:
    assert jitter_of("daily-cleanup", 1_774_900_800_000, 60_000) == 11_167
    assert jitter_of("daily-cleanup", 1_774_987_200_000, 60_000) == 52_251


@given(
    st.text(max_size=20),
    st.integers(0, END),
    st.integers(0, DAY),
    st.one_of(st.none(), st.integers(1, DAY)),
)
@settings(deadline=None)
def test_jitter_stays_below_its_limit_and_the_gap(
    name: str, due: Instant, jitter_ms: int, gap_ms: int | None
) -> None:
    delay = jitter_of(name, due, jitter_ms, gap_ms)
    assert 0 <= delay < max(1, min(jitter_ms, DAY if gap_ms is None else gap_ms))


def test_jitter_spreads_jobs_over_its_whole_width() -> None:
    delays = sorted(jitter_of(f"job-{number}", NOW, 60_000) for number in range(1000))
    assert delays[0] < 1_000
    assert delays[-1] > 59_000
    assert 25_000 < delays[500] < 35_000


def test_no_run_is_moved_past_the_next_occurrence() -> None:
    job = make_job(Cron("* * * * *"), jitter_ms=HOUR)
    due = [NOW + number * MINUTE for number in range(200)]
    fire = [fire_at(job, 0, instant) for instant in due]
    assert fire == sorted(fire)
    assert all(
        instant <= start < instant + MINUTE for instant, start in zip(due, fire, strict=True)
    )


def test_a_last_occurrence_has_its_whole_jitter() -> None:
    job = make_job(Once(NOW), jitter_ms=HOUR)
    assert NOW <= fire_at(job, 0, NOW) < NOW + HOUR
    assert fire_at(make_job(Once(NOW)), 0, NOW) == NOW


# --- sharing -----------------------------------------------------------------------------------


def test_jobs_with_the_same_schedule_share_a_key_and_those_with_jitter_do_not() -> None:
    cron = Cron("0 2 * * *", "Europe/London")
    assert schedule_key(make_job(cron, "a"), 1) == schedule_key(make_job(cron, "b"), 2)
    assert schedule_key(make_job(cron, "a"), 1) != schedule_key(make_job(Cron("0 2 * * *")), 1)
    alone = schedule_key(make_job(cron, "a", jitter_ms=SECOND), 1)
    assert alone != schedule_key(make_job(cron, "b", jitter_ms=SECOND), 1)
    assert alone != schedule_key(make_job(cron, "a"), 1)


def test_intervals_share_a_key_only_on_the_same_grid() -> None:
    hourly = make_job(Interval(HOUR))
    assert schedule_key(hourly, 5) == schedule_key(make_job(Interval(HOUR), "other"), 5)
    assert schedule_key(hourly, 5) != schedule_key(hourly, 6)
    assert schedule_key(hourly, 5) != schedule_key(make_job(Interval(HOUR, start_at=5)), 5)
    assert schedule_key(make_job(Once(NOW)), 0) == schedule_key(
        make_job(Once(NOW, "Asia/Tokyo")), 9
    )


# --- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "short", "sentence"),
    [
        (Cron("*/15 * * * *"), "every 15 min", "every 15 minutes"),
        (
            Cron("0 2 * * *", "Europe/London"),
            "02:00 daily",
            "at 02:00 every day (Europe/London)",
        ),
        (Interval(HOUR), "every 1h", "every hour"),
        (Interval(90 * MINUTE), "every 1h30m", "every 1 hour 30 minutes"),
        (Interval(45 * SECOND), "every 45s", "every 45 seconds"),
        (Interval(1500), "every 1s500ms", "every 1 second 500 milliseconds"),
        (
            Interval(2 * DAY, at("2026-12-01T09:00")),
            "every 2d",
            "every 2 days, from 2026-12-01 09:00 UTC on",
        ),
        (
            Once(at("2026-12-25T09:00")),
            "once 2026-12-25 09:00 UTC",
            "once, at 2026-12-25 09:00 UTC",
        ),
        (
            Once(at("2026-12-25T09:00:30"), "Asia/Tokyo"),
            "once 2026-12-25 18:00:30 Asia/Tokyo",
            "once, at 2026-12-25 18:00:30 Asia/Tokyo",
        ),
        (
            Once(at("9999-12-31T23:59"), "Asia/Tokyo"),
            "once 9999-12-31 23:59 UTC",
            "once, at 9999-12-31 23:59 UTC",
        ),
    ],
)
def test_a_schedule_is_called(schedule: Schedule, short: str, sentence: str) -> None:
    assert describe_schedule(schedule) == short
    assert explain_schedule(schedule) == sentence
