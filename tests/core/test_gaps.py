"""The shortest gap of a schedule, held against the occurrences themselves."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luad.core.gaps import least_gap_ms
from luad.core.model import DAY, HOUR, MINUTE, SECOND, Cron, Interval, Once
from luad.core.schedule import occurrences

START = 1_790_035_200_000  # 2026-09-22T00:00:00Z


@pytest.mark.parametrize(
    ("expression", "gap_ms"),
    [
        ("* * * * *", MINUTE),
        ("*/7 * * * *", 4 * MINUTE),
        ("*/5 * * * * *", 5 * SECOND),
        ("0,5 0 0 1 1 *", 5 * SECOND),
        ("0,59 0,59 0,23 * * *", SECOND),
        ("0,59 0,59 0,23 1 * *", 59 * SECOND),
        ("0 0 31,1 * *", DAY),
        ("0 0 * * 1", DAY),
        ("@hourly", HOUR),
    ],
)
def test_the_shortest_gap_of_a_cron_line(expression: str, gap_ms: int) -> None:
    assert least_gap_ms(Cron(expression)) == gap_ms


def test_the_gap_of_the_other_kinds() -> None:
    assert least_gap_ms(Interval(7_000)) == 7_000
    assert least_gap_ms(Once(START)) is None


values = st.sets(st.integers(0, 23), min_size=1, max_size=3).map(
    lambda each: ",".join(map(str, sorted(each)))
)
days = st.sampled_from(["*", "*/2", "1", "31", "1,2", "28-31"])


@settings(max_examples=60, deadline=None)
@given(values, values, values, days, st.sampled_from(["*", "1", "1,2", "2,3", "12,1"]))
@pytest.mark.slow
def test_no_two_occurrences_are_closer_and_some_are_as_close(
    second: str, minute: str, hour: str, day: str, month: str
) -> None:
    schedule = Cron(f"{second} {minute} {hour} {day} {month} *")
    if day == "31" and month == "2":
        return
    try:
        least = least_gap_ms(schedule)
    except ValueError:  # it never fires
        return
    found = occurrences(schedule, START, START, START + 800 * DAY, 4_000)
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert least is not None
    assert min(gaps, default=DAY) >= min(least, DAY)
    if len(found) < 4_000 and least < DAY:
        assert min(gaps) == least
