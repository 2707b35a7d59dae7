"""The board against a twin that remembers everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luad.core.events import ClaimRun, ExtendSkip, RecordSkip, RemoveJob, SaveRun
from luad.core.model import Reason, Run, RunState, Skip, Trigger
from luad.live import strips
from luad.live.recent_runs import Histogram, RecentRuns
from luad.live.strips import STRIP
from luad.store.query_types import RecentRun

SECOND = 1000
STATES = [RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]


def run_id(number: int) -> str:
    return f"run_{number:026d}"


def make_run(number: int, state: RunState = RunState.QUEUED, **more: Any) -> Run:
    at = number * SECOND
    return Run(run_id(number), "tidy", "job_1", "r", Trigger.SCHEDULE, at, at, at, state, **more)


def ended(number: int, state: RunState, took_ms: int = 500) -> Run:
    at = number * SECOND
    return make_run(number, state, started_at=at, ended_at=at + took_ms)


def row(number: int, state: RunState) -> RecentRun:
    at = number * SECOND
    if state in {RunState.SKIPPED, RunState.MISSED}:
        return RecentRun(run_id(number), state, None, at)
    return RecentRun(run_id(number), state, at, None if state is RunState.RUNNING else at + 500)


def strip_of(recent_runs: RecentRuns) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(f"[{recent_runs.strip('job_1')}]")
    return found


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(STATES)), max_size=120))
@pytest.mark.slow
def test_the_strip_is_the_newest_rows_as_they_last_were(steps: list[tuple[int, RunState]]) -> None:
    recent_runs = RecentRuns()
    twin: dict[str, dict[str, Any]] = {}
    for number, state in steps:
        if twin and len(twin) == STRIP and run_id(number) < min(twin):
            continue  # older than all that is shown, and gone from sight
        is_over = state is not RunState.RUNNING
        recent_runs.observe([SaveRun(ended(number, state) if is_over else make_run(number, state))])
        took = 500 if is_over else None
        twin[run_id(number)] = {"id": run_id(number), "status": state.value, "duration_ms": took}
        while len(twin) > STRIP:
            del twin[min(twin)]
    assert strip_of(recent_runs) == [twin[key] for key in sorted(twin)]


def test_a_refused_claim_was_never_there() -> None:
    recent_runs = RecentRuns()
    recent_runs.observe([ClaimRun(make_run(1)), ClaimRun(make_run(2))], refused=(run_id(2),))
    assert [each["id"] for each in strip_of(recent_runs)] == [run_id(1)]
    last = recent_runs.last("job_1")
    assert last is not None
    assert last.id == run_id(1)


def test_observing_tells_which_runs_have_ended() -> None:
    recent_runs = RecentRuns()
    records = [ClaimRun(make_run(1)), SaveRun(ended(2, RunState.LOST)), SaveRun(make_run(3))]
    assert recent_runs.observe(records) == [run_id(2)]


def test_a_later_end_of_an_older_run_is_news_of_the_job() -> None:
    recent_runs = RecentRuns()
    recent_runs.observe([SaveRun(ended(1, RunState.SUCCEEDED)), ClaimRun(make_run(2))])
    recent_runs.observe([ClaimRun(make_run(3)), SaveRun(ended(2, RunState.FAILED))])
    last = recent_runs.last("job_1")
    assert last is not None
    assert (last.id, last.state, last.ended_as) == (run_id(3), RunState.QUEUED, RunState.FAILED)


def test_what_is_recalled_does_not_undo_what_was_observed() -> None:
    recent_runs = RecentRuns()
    recent_runs.observe([SaveRun(ended(2, RunState.SUCCEEDED))])
    recent_runs.seed("tidy", "job_1", [row(1, RunState.FAILED), row(2, RunState.RUNNING)])
    assert [each["status"] for each in strip_of(recent_runs)] == ["failed", "succeeded"]
    last = recent_runs.last("job_1")
    assert last is not None
    assert (last.state, last.ended_as) == (RunState.SUCCEEDED, RunState.SUCCEEDED)
    assert recent_runs.tallies["job_1"].run_counts == {(RunState.SUCCEEDED, Trigger.SCHEDULE): 1}


def test_an_open_run_is_recalled_with_how_the_one_before_ended() -> None:
    recent_runs = RecentRuns()
    recent_runs.seed("tidy", "job_1", [row(1, RunState.FAILED), row(2, RunState.RUNNING)])
    last = recent_runs.last("job_1")
    assert last is not None
    assert (last.state, last.ended_as) == (RunState.RUNNING, RunState.FAILED)


def test_a_recalled_job_knows_its_last_success_behind_a_failure() -> None:
    recent_runs = RecentRuns()
    states = [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED]
    recent_runs.seed(
        "tidy", "job_1", [row(number, state) for number, state in enumerate(states, 1)]
    )
    tally = recent_runs.tallies["job_1"]
    assert (tally.last_start, tally.last_success) == (3 * SECOND, SECOND + 500)
    assert (tally.last_completion, tally.last_duration_ms) == (3 * SECOND + 500, 500)
    assert tally.is_last_success is False
    last = recent_runs.last("job_1")
    assert last is not None
    assert (last.id, last.ended_as) == (run_id(3), RunState.CANCELLED)


def test_a_job_that_was_only_skipped_never_ran() -> None:
    recent_runs = RecentRuns()
    recent_runs.seed(
        "tidy", "job_1", [row(number, RunState.SKIPPED) for number in range(1, STRIP + 1)]
    )
    assert recent_runs.last("job_1") is None
    assert len(strip_of(recent_runs)) == STRIP


def test_a_run_behind_a_strip_full_of_skips_is_recalled_but_not_shown() -> None:
    recent_runs = RecentRuns()
    skips = [row(number, RunState.SKIPPED) for number in range(2, STRIP + 2)]
    recent_runs.seed("tidy", "job_1", [row(1, RunState.SUCCEEDED), *skips])
    last = recent_runs.last("job_1")
    assert last is not None
    assert last.id == run_id(1)
    assert [each["status"] for each in strip_of(recent_runs)] == ["skipped"] * STRIP


def test_skips_are_counted_as_they_grow_and_go_with_their_job() -> None:
    recent_runs = RecentRuns()
    skip = Skip(RunState.SKIPPED, Reason.PAUSED, 1, 1, 2)
    record = RecordSkip(run_id(1), "tidy", "job_1", "r", skip, 5)
    grown = Skip(RunState.SKIPPED, Reason.PAUSED, 1, 9, 7)
    recent_runs.observe([record, ExtendSkip(run_id(1), grown), ExtendSkip("run_unknown", grown)])
    assert recent_runs.tallies["job_1"].skip_counts == {(RunState.SKIPPED, "paused"): 7}
    row = {"id": run_id(1), "status": "skipped", "duration_ms": None, "reason": "paused"}
    assert strip_of(recent_runs) == [row]
    recent_runs.observe([RemoveJob("job_1", "tidy", 10), ExtendSkip(run_id(1), grown)])
    assert dict(recent_runs.tallies) == {}
    assert recent_runs.strip("job_1") == ""


def test_a_skip_that_the_store_refused_is_none() -> None:
    recent_runs = RecentRuns()
    skip = Skip(RunState.SKIPPED, Reason.PAUSED, 1, 1, 2)
    recent_runs.observe([RecordSkip(run_id(1), "tidy", "job_1", "r", skip, 5)], (run_id(1),))
    assert dict(recent_runs.tallies) == {}


def test_a_histogram_puts_a_border_value_below() -> None:
    histogram = Histogram()
    for seconds in (0.1, 0.11, 600, 601):
        histogram.add(seconds)
    assert (histogram.counts[0], histogram.counts[1]) == (1, 1)
    assert histogram.counts[-2:] == [1, 1]


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(RunState), st.booleans())))
def test_a_strip_is_the_newest_rows_as_they_were_last_put(
    puts: list[tuple[int, RunState, bool]],
) -> None:
    strip, naive = "", dict[str, dict[str, object]]()
    for number, state, is_older in puts:
        run_id = f"run_{number:026d}"
        strip = strips.put(strip, strips.cell(run_id, state, number or None), is_older=is_older)
        row: dict[str, object] = {"id": run_id, "status": state.value}
        if not (is_older and run_id in naive):
            naive[run_id] = row | {"duration_ms": number or None}
        naive = {each: naive[each] for each in sorted(naive)[-STRIP:]}
    assert json.loads(f"[{strips.render(strip)}]") == list(naive.values())
