"""The load of a day, and where long runs overlap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from luad.web.lane_load import SLOTS, draw_load, load_of, shade
from luad.web.lanes import Lane, Span

MIDNIGHT = datetime(2026, 11, 30, tzinfo=UTC)
DAY = Span(MIDNIGHT, MIDNIGHT + timedelta(days=1), MIDNIGHT + timedelta(hours=12))


def run(minute: float, minutes: float | None, status: str = "succeeded") -> dict[str, Any]:
    at = (MIDNIGHT + timedelta(minutes=minute)).isoformat()
    took = None if minutes is None else int(minutes * 60_000)
    return {"status": status, "started_at": at, "scheduled_for": at, "duration_ms": took}


def test_the_load_counts_runs_at_once_and_not_one_after_another() -> None:
    one = Lane("one", [run(60, 10), run(70, 10), run(80, 10)])
    two = Lane("two", [run(62, 1), run(200, 0)])
    load = load_of([one, two], DAY)
    assert load.most == 2
    assert load.peak == 12 / SLOTS
    assert [load.levels[slot] for slot in (11, 12, 13, 14, 40, 41)] == [0, 2, 1, 1, 1, 0]
    assert load.overlaps == []  # a run of a minute is not long


def test_long_runs_of_different_jobs_overlap() -> None:
    lanes = [
        Lane("backup", [run(60, 30)]),
        Lane("export", [run(80, 30), run(100, 30)]),
        Lane("quick", [run(85, 1)]),
    ]
    load = load_of(lanes, DAY)
    assert load.overlaps == [(80, 90)]
    assert 'd="M80.0 0h10.0v28h-10.0z"' in shade(load, 28)


def test_a_planned_run_is_as_long_as_the_runs_of_its_job() -> None:
    lanes = [
        Lane("etl", [run(0, 20), run(60, 40), run(120, 30)], [900.0]),
        Lane("new", [], [910.0]),
    ]
    load = load_of(lanes, DAY)
    assert load.levels[900 // 5 : 900 // 5 + 7] == [1, 1, 2, 1, 1, 1, 0]
    assert load.overlaps == []


@pytest.mark.parametrize("status", ["skipped", "missed", "cancelled"])
def test_what_did_not_run_is_no_load(status: str) -> None:
    assert load_of([Lane("one", [run(60, 10, status)])], DAY).most == 0


def test_an_open_run_lasts_until_now() -> None:
    load = load_of([Lane("one", [run(600, None, "running")])], DAY)
    assert load.levels[600 // 5 : 725 // 5] == [1] * 24 + [0]
    assert draw_load(load, DAY).count("<path") == 2


def test_nothing_has_no_load() -> None:
    load = load_of([], DAY)
    assert (load.most, load.peak, load.overlaps) == (0, 0, [])
    assert "at most" in draw_load(load, DAY)


@pytest.mark.parametrize("seed", range(20))
def test_the_load_is_what_counting_each_minute_gives(seed: int) -> None:
    bars = [((seed * 53 + n * 137) % 1400, 1 + (n * 29 + seed * 11) % 59) for n in range(30)]
    lanes = [Lane(str(number), [run(*bar)]) for number, bar in enumerate(bars)]
    counted = [sum(at <= minute < at + took for at, took in bars) for minute in range(1440)]
    wanted = [max(counted[first : first + 5]) for first in range(0, 1440, 5)]
    assert load_of(lanes, DAY).levels == wanted
