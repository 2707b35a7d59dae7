"""The imports of handlers: the job, its read-only metadata, and their low cost."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from luad.sdk import Job, NoJobError, current_job
from luad.sdk.job import mark_cancelled, set_current_job


def make_job(**fields: Any) -> Job:
    values = {"name": "a-job", "run_id": "run_1", "scheduled_for_ms": 1_500, "started_at_ms": 2_000}
    return Job(**{**values, **fields})


def test_instants_are_aware_and_in_utc() -> None:
    job = make_job(deadline_ms=5_000)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert job.scheduled_for == job.fire_at == epoch + timedelta(seconds=1.5)
    assert job.started_at == epoch + timedelta(seconds=2)
    assert job.deadline - job.started_at == timedelta(seconds=3)
    assert job.scheduled_for.tzinfo is UTC


def test_without_a_time_limit_the_deadline_is_far_away() -> None:
    job = make_job()
    assert job.deadline.year == 9999
    assert job.to_dict()["deadline"] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata: metadata.update(a=2),
        lambda metadata: metadata.__setitem__("a", 2),
        lambda metadata: metadata.pop("a"),
        lambda metadata: metadata.setdefault("b", 2),
        lambda metadata: metadata.__delitem__("a"),
        lambda metadata: metadata.clear(),
        lambda metadata: metadata.__ior__({"a": 2}),
        lambda metadata: metadata["nested"].update(a=2),
        lambda metadata: metadata["items"].append(2),
        lambda metadata: metadata["items"][0].update(a=2),
        lambda metadata: metadata["items"].sort(),
    ],
)
def test_metadata_refuses_changes_and_says_what_to_do(change: Any) -> None:
    job = make_job(metadata={"a": 1, "nested": {"a": 1}, "items": [{"a": 1}]})
    with pytest.raises(TypeError, match=r"read-only.*job\.metadata\.copy\(\)"):
        change(job.metadata)
    assert job.metadata == {"a": 1, "nested": {"a": 1}, "items": [{"a": 1}]}


@pytest.mark.parametrize(
    "copied",
    [
        lambda value: value.copy(),
        copy.deepcopy,
        lambda value: pickle.loads(pickle.dumps(value)),  # noqa: S301 - our own bytes
        lambda value: json.loads(json.dumps(value)),
    ],
)
def test_copies_of_metadata_are_ordinary(copied: Any) -> None:
    original = {"a": {"b": [1, {"c": 2}]}}
    changed = copied(make_job(metadata=original).metadata)
    changed["a"]["b"][1]["c"] = 3
    changed["a"]["b"].append(4)
    assert changed == {"a": {"b": [1, {"c": 3}, 4]}}
    assert original == {"a": {"b": [1, {"c": 2}]}}


def test_the_job_as_json() -> None:
    told = make_job(metadata={"a": [1]}, tags=("x",)).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert type(told["metadata"]) is dict


def test_the_log_is_named_after_the_job_and_cannot_be_silenced_by_accident() -> None:
    job = make_job(name="nightly.sync")
    assert job.log.name == "luad.job.nightly.sync"
    job.log.disabled = True  # as `logging.config.dictConfig` does
    assert not job.log.disabled


def test_outside_of_a_run_there_is_no_current_job() -> None:
    with pytest.raises(NoJobError, match="luad test"):
        current_job()
    job = make_job()
    set_current_job(job)
    assert current_job() is job
    set_current_job(None)


def test_a_job_is_told_that_it_is_cancelled() -> None:
    job = make_job()
    assert not job.cancelled
    mark_cancelled(job)
    assert job.cancelled


def test_importing_the_sdk_loads_nothing_heavy() -> None:
    program = "import sys; import luad.sdk; print(' '.join(sys.modules))"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    heavy = {"asyncio", "dataclasses", "inspect", "json", "logging", "typing", "re"}
    assert not heavy & set(loaded)
