"""Intervals that are meant for a time of day, and the unit of a week."""

from __future__ import annotations

import pytest

from luad.config.jobs.interval_advice import interval_mistake
from luad.core.model import DAY, HOUR, Interval
from luad.wire import parse_duration_ms, parse_instant

NOW = parse_instant("2026-11-30T12:00:00Z")
NINE_IN_LONDON = parse_instant("2026-12-01T09:00:00Z")


@pytest.mark.parametrize(
    ("every", "start", "zone", "line"),
    [
        (DAY, "2026-12-01T09:00:00Z", "Europe/London", '"0 9 * * *", timezone: Europe/London'),
        (DAY, "2026-07-01T08:00:00Z", "Europe/London", '"0 9 * * *", timezone: Europe/London'),
        (DAY, "2020-01-01T02:30:15Z", "Europe/Berlin", '"15 30 3 * * *"'),
        (7 * DAY, "2026-12-01T23:30:00Z", "Europe/Berlin", '"30 0 * * WED"'),
        (7 * DAY, "2026-12-02T02:00:00Z", "America/New_York", '"0 21 * * TUE"'),
        (2 * DAY, "2026-12-01T09:00:00Z", "Europe/London", "no cron expression"),
        (14 * DAY, "2026-12-01T09:00:00Z", "Europe/London", "no cron expression"),
        (DAY, "2026-12-01T09:00:00.5Z", "Europe/London", "no cron expression"),
    ],
)
def test_whole_days_in_a_zone_with_summer_time_name_the_cron_line(
    every: int, start: str, zone: str, line: str
) -> None:
    found = interval_mistake(Interval(every, parse_instant(start)), zone, NOW)
    assert found is not None
    assert (found.code, found.is_warning) == ("LU520", True)
    assert line in (found.help or "")


def test_the_warning_says_which_hour_becomes_which_and_when() -> None:
    found = interval_mistake(Interval(DAY, NINE_IN_LONDON), "Europe/London", NOW)
    assert found is not None
    assert "09:00 becomes 10:00 when the clocks change on 2027-03-28" in found.message


@pytest.mark.parametrize(
    ("schedule", "zone"),
    [
        (Interval(DAY), "Europe/London"),
        (Interval(DAY, NINE_IN_LONDON), None),
        (Interval(DAY, NINE_IN_LONDON), "UTC"),
        (Interval(DAY, NINE_IN_LONDON), "Asia/Tokyo"),
        (Interval(HOUR, NINE_IN_LONDON), "Europe/London"),
        (Interval(DAY + HOUR, NINE_IN_LONDON), "Europe/London"),
        (Interval(DAY, parse_instant("9996-06-01T09:00:00Z")), "Europe/London"),
    ],
)
def test_other_intervals_are_left_alone(schedule: Interval, zone: str | None) -> None:
    assert interval_mistake(schedule, zone, NOW) is None


@pytest.mark.parametrize(
    ("text", "days"), [("1w", 7), ("2w", 14), ("1w2d", 9), ("1w12h", 7.5), ("0w", 0)]
)
def test_a_week_is_a_unit(text: str, days: float) -> None:
    assert parse_duration_ms(text) == days * DAY


@pytest.mark.parametrize("text", ["w", "1d1w", "1.5w", "1W", "1 w"])
def test_a_week_is_written_as_the_other_units_are(text: str) -> None:
    with pytest.raises(ValueError, match="1w"):
        parse_duration_ms(text)
