"""Which job a handler gets, however it is written, and calls of luad that nothing awaits."""

from __future__ import annotations

import gc
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luad.runner.execution import Interrupt, execute
from luad.runner.outcome import Outcome
from luad.sdk.ask import Ask
from luad.sdk.exceptions import NotAwaited
from luad.sdk.job import Job
from luad.sdk.jobs import Jobs
from luad.sdk.link import set_link
from luad.sdk.pending import begin_run, end_run

PERSON = {"id": "ann", "full_name": "Ann", "emails": [], "phones": [], "channels": [], "data": {}}
VIEW = {
    "id": "job_1",
    "name": "tidy",
    "description": "",
    "metadata": {},
    "tags": [],
    "revision": "",
}


class Listener:
    """A link that notes what is asked for, and answers everything."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []

    def call(self, ask: Ask) -> Any:
        self.asked.append((ask.method, ask.path, ask.body))
        if ask.path.endswith("/metadata"):
            return ask.body
        if ask.path.endswith("/runs"):
            return {"runs": [{"id": "run_1"}]}
        if ask.path.endswith("/trigger"):
            return {"id": "run_1"}
        if ask.path.endswith("/send"):
            return {"ok": True, "deliveries": []}
        return PERSON if "/users/" in ask.path else VIEW


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.syspath_prepend(Path(__file__).parent / "handlers_pkg")
    listener = Listener()
    before = set_link(listener)
    yield listener
    set_link(before)
    sys.modules.pop("faces", None)


def call(name: str) -> Outcome:
    job = Job(
        name="tidy",
        id="job_1",
        run_id="run_1",
        scheduled_for_ms=1_000,
        started_at_ms=1_000,
        user_id="ann",
    )
    return execute(job, f"faces:{name}", Interrupt(), result_limit=10_000)


WROTE = [("PATCH", "/jobs/job_1/metadata", {"n": 1})]


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "coroutine",
        "returns_a_coroutine",
        "a_lambda",
        "blocking_lambda",
        "an_object",
        "method",
        "async_method",
        "of_class",
        "of_nobody",
        "an_async_object",
        "a_static_method",
        "a_partial",
        "a_partial_of_an_object",
        "a_partial_of_a_partial",
        "cached",
        "bare_async",
        "bare_plain",
        "bare_partial",
        "wrapped",
        "wrapped_twice",
        "run_inside",
        "plain_in_a_thread",
        "plain_before_async",
        "runs_one_call",
        "runs_a_main",
        "old_coroutine",
        "gathers",
        "takes_a_task",
        "waits_for_it",
        "leaves_a_task",
        "generator_expression",
    ],
)
def test_a_handler_gets_a_job_that_it_can_use_however_it_is_written(
    link: Listener, name: str
) -> None:
    outcome = call(name)
    assert (outcome.kind, outcome.failure) == ("returned", None)
    assert link.asked == WROTE, "its effect, and once"


@pytest.mark.parametrize("name", ["uses_values", "awaits_values", "awaited"])
def test_what_the_methods_return_is_the_same_with_and_without_await(
    link: Listener, name: str
) -> None:
    outcome = call(name)
    assert outcome.failure is None
    assert json.loads(outcome.result_json or "null") == "used"
    assert len(link.asked) == (8 if name == "uses_values" else 6)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("forgets", "job.update_metadata(...) was not awaited"),
        ("forgets_and_keeps", "job.update_metadata(...) was not awaited"),
        ("forgets_in_a_list", "and 2 more calls were not"),
        ("forgets_a_user", "user.send(...) was not awaited"),
        ("forgets_and_swallows", "job.update_metadata(...) was not awaited"),
        ("forgets_and_exits", "job.update_metadata(...) was not awaited"),
        ("asks_a_coroutine", "Jobs.get(...) was not awaited"),
        ("judges_a_coroutine", "User.get(...) was not awaited"),
        ("creates_without_await", "luad.sync.Jobs.create"),
        ("keeps_without_await", "luad.sync.Jobs.create"),
        ("returns_a_coroutine_twice", "write `return await ...`"),
        ("bare_generator", "none of it has run"),
        ("bare_async_generator", "none of it has run"),
    ],
)
def test_a_call_that_nothing_awaits_fails_the_run_which_is_not_repeated(
    link: Listener, name: str, words: str
) -> None:
    outcome = call(name)
    assert outcome.kind == "raised"
    assert outcome.failure is not None
    assert words in f"{outcome.failure.message} {outcome.failure.traceback}"
    assert not outcome.is_retryable
    assert all(method == "GET" for method, _, _ in link.asked)


@pytest.mark.parametrize(
    "name", ["generator", "async_generator", "a_generator_object", "a_partial_generator"]
)
def test_a_generator_is_not_called_at_all(link: Listener, name: str) -> None:
    outcome = call(name)
    assert (outcome.kind, outcome.is_retryable) == ("not_started", False)
    assert outcome.failure is not None
    assert "generator" in outcome.failure.message
    assert link.asked == []


def test_a_call_may_be_given_up_on_purpose(link: Listener) -> None:
    assert call("closes_on_purpose").kind == "returned"
    assert link.asked == []


# --- where there is no run ---------------------------------------------------------------------


def test_a_value_that_is_thrown_away_raises_at_once(link: Listener) -> None:
    with pytest.raises(NotAwaited, match=r"test_calling\.py:\d+.*done nothing") as caught:
        Jobs.get("tidy")  # type: ignore[unused-coroutine] # the mistake
    assert caught.value.hint.endswith("call luad.sync.Jobs.get")
    assert link.asked == []


@pytest.mark.parametrize(
    "use",
    [
        lambda made: made.name,
        bool,
        list,
        len,
        lambda made: made["id"],
        lambda made: "id" in made,
    ],
)
def test_a_coroutine_that_is_used_as_its_value_raises_at_once(link: Listener, use: Any) -> None:
    made = Jobs.get("tidy")
    with pytest.raises(NotAwaited, match=r"Jobs\.get\(\.\.\.\) was not awaited"):
        use(made)
    made.close()
    assert link.asked == []


def test_a_call_that_a_run_has_told_of_is_no_warning_beside_it(link: Listener) -> None:
    """A traceback may hold it until long after the run."""
    begin_run()
    made = [Jobs.get("tidy"), Jobs.get("weekly")]
    told = end_run()
    assert told is not None
    assert "and 1 more call was not" in told.message
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del made
        gc.collect()
    assert caught == []
    assert link.asked == []


def test_a_coroutine_that_is_dropped_is_a_warning(link: Listener) -> None:
    made = Jobs.get("tidy")
    with pytest.warns(RuntimeWarning, match=r"Jobs\.get\(\.\.\.\) was never awaited"):
        del made
    assert link.asked == []
