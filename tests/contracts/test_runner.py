"""The contract of every runner.

A runner joins by a line in `RUNNERS`: a function from a folder to a started runner's harness.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.runner_harness import Harness, SharedHarness, config

from luad.core.model import EndKind

RUNNERS: dict[str, Callable[[Path], Harness]] = {
    "a process for every run": lambda folder: Harness(config(folder)),
    "shared processes": lambda folder: SharedHarness(config(folder)),
}


@pytest.fixture(params=RUNNERS.values(), ids=RUNNERS.keys())
async def runner(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    harness: Harness = request.param(tmp_path)
    await harness.runner.start()
    yield harness
    await harness.runner.close()
    assert not harness.runner.running


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Harness]:
    """A runner that gives each run a process of its own, for what only such a process can do."""
    harness = Harness(config(tmp_path))
    await harness.runner.start()
    yield harness
    await harness.runner.close()


async def test_a_handler_gets_its_job_and_returns_json(runner: Harness) -> None:
    finished = await runner.run("plain:metadata", metadata={"a": [1, {"b": None}]})
    assert finished.ending.kind is EndKind.RETURNED
    assert finished.result == {"a": [1, {"b": None}]}
    assert finished.ending.exit_code == 0
    assert finished.ending.error is None


async def test_the_start_is_reported_before_the_end(runner: Harness) -> None:
    key = runner.launch("plain:nothing")
    identity = await runner.start_of(key)
    finished = await runner.end_of(key)
    assert finished.identity == identity
    assert runner.started[key].at <= finished.ending.at
    assert finished.ending.result_json == "null"


@pytest.mark.parametrize(
    ("handler", "result"),
    [
        ("plain:no_argument", "called without"),
        ("plain:sleeps_a_little", {"name": "a-job"}),
        ("plain:wrapped_async", {"name": "a-job"}),
    ],
)
async def test_handlers_may_be_blocking_async_or_without_argument(
    runner: Harness, handler: str, result: object
) -> None:
    assert (await runner.run(handler)).result == result


async def test_the_context_says_what_the_run_is(runner: Harness) -> None:
    key = runner.launch(
        "plain:context",
        name="nightly",
        description="what it does",
        tags=("a", "b"),
        metadata={"region": "emea", "n": 1},
        run_metadata={"n": 2},
        run_attempt=3,
        run_missed_count=4,
        timeout_ms=5_000,
    )
    seen = (await runner.end_of(key)).result
    started, deadline = seen.pop("started_at"), seen.pop("deadline")
    assert started < deadline
    assert seen == {
        "id": "job_1",
        "name": "nightly",
        "description": "what it does",
        "run_id": key[0],
        "trigger": "manual",
        "user_id": None,
        "attempt": 3,
        "max_attempts": 1,
        "scheduled_for": "1970-01-01T00:00:01.000Z",
        "fire_at": "1970-01-01T00:00:01.500Z",
        "missed_count": 4,
        "revision": "rev",
        "tags": ["a", "b"],
        "metadata": {"region": "emea", "n": 2},
    }


async def test_what_a_handler_says_comes_line_by_line(alone: Harness) -> None:
    finished = await alone.run("plain:prints")
    said = {(line["stream"], line["message"]) for line in finished.lines}
    assert said == {("stdout", "out 1"), ("stderr", "err 1"), ("stdout", "out 2")}


async def test_log_records_keep_level_logger_extras_and_exception(runner: Harness) -> None:
    lines = (await runner.run("plain:logs")).lines
    first, library, broke, wrong, odd = lines
    assert {line["stream"] for line in lines} == {"log"}
    assert (first["level"], first["logger"]) == ("info", "luad.job.a-job")
    assert first["extras"]["rows"] == 3
    assert "/x" in first["extras"]["where"]
    assert library["message"] == "from a library"
    assert (library["level"], library["logger"]) == ("warning", "my.module")
    assert broke["level"] == "error"
    assert "ZeroDivisionError" in broke["exception"]
    assert "wrong arguments" in wrong["message"]
    assert odd["message"] == "surrogate ? and \x00 and \x1b[31m"


async def test_what_is_too_deep_to_be_looked_through_is_logged_as_text(runner: Harness) -> None:
    [line] = (await runner.run("plain:logs_deep")).lines
    assert line["extras"] == {"deep": "[" * 901 + "]" * 901, "flat": [[1]], "text": "[" * 99}


async def test_a_forged_result_is_none_when_it_is_too_deep(alone: Harness) -> None:
    """Whoever masks secrets in it would not come back, and nobody would hear that the run is over."""
    finished = await alone.run("ends:forges_depth")
    assert finished.ending.kind is EndKind.RETURNED
    assert finished.ending.result_json is None
    assert finished.lines == []


async def test_an_exception_is_shown_without_luads_own_frames(runner: Harness) -> None:
    finished = await runner.run("ends:raises", metadata={"n": 7})
    error = finished.ending.error
    assert finished.ending.kind is EndKind.RAISED
    assert error is not None
    assert (error.type, error.message) == ("ValueError", "bad value 7")
    assert "in raises" in error.traceback
    assert "in inner" in error.traceback
    assert "luad/runner" not in error.traceback


async def test_a_timeout_says_where_the_handler_was(alone: Harness) -> None:
    finished = await alone.run("plain:waits_to_be_stopped", timeout_ms=150)
    error = finished.ending.error
    assert finished.ending.kind is EndKind.TIMED_OUT
    assert error is not None
    assert error.message == "the handler ran longer than its timeout of 0.15 s"
    assert "waits_to_be_stopped" in error.traceback


@pytest.mark.parametrize("handler", ["plain:cleans_up", "plain:waits_async"])
async def test_a_cancelled_handler_may_clean_up(alone: Harness, handler: str) -> None:
    key = alone.launch(handler)
    await alone.line_of(key)
    alone.runner.stop(*key)
    finished = await alone.end_of(key)
    assert finished.ending.kind is EndKind.CANCELLED
    assert "cleaned up True" in finished.messages


async def test_kill_leaves_no_time_to_clean_up(alone: Harness) -> None:
    key = alone.launch("plain:cleans_up")
    await alone.line_of(key)
    alone.runner.stop(*key, kill=True)
    finished = await alone.end_of(key)
    assert finished.ending.kind is EndKind.CANCELLED
    assert finished.ending.signal == 9
    assert finished.messages == ["ready"]


async def test_stopping_what_has_ended_or_never_was_does_nothing(runner: Harness) -> None:
    key = runner.launch("plain:nothing")
    await runner.end_of(key)
    runner.runner.stop(*key)
    runner.runner.stop("run_unknown", 1, kill=True)


async def test_a_stop_before_the_start_is_not_lost(runner: Harness) -> None:
    keys = [runner.launch("plain:waits_to_be_stopped") for _ in range(40)]
    for key in keys:
        runner.runner.stop(*key)
        runner.runner.stop(*key)  # twice is no mistake
    for key in keys:
        assert (await runner.end_of(key)).ending.kind is EndKind.CANCELLED


async def test_many_at_once_all_run(runner: Harness) -> None:
    keys = [runner.launch("plain:no_argument") for _ in range(80)]
    assert len(runner.runner.running) == 80
    for key in keys:
        assert (await runner.end_of(key)).result == "called without"
    assert not runner.runner.running


async def test_closing_ends_and_reports_what_still_runs(alone: Harness) -> None:
    keys = [alone.launch("plain:waits_to_be_stopped") for _ in range(3)]
    for key in keys:
        await alone.line_of(key)
    await alone.runner.close()
    assert {alone.ended[key].ending.kind for key in keys} == {EndKind.CANCELLED}
    late = alone.launch("plain:nothing")
    assert (await alone.end_of(late)).ending.kind is EndKind.NOT_STARTED
