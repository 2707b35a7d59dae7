"""The samples in jobs.d/: each is valid, safe, commented, and does what it says."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from luad.config.jobs.job_file import load_file
from luad.config.settings.daemon_settings import Settings
from luad.core.model import SECOND, Interval
from luad.core.model import Job as Declared
from luad.core.schedule import next_occurrence
from luad.sdk import Job
from luad.testing import run_job_sync

FOLDER = Path(__file__).parents[2] / "jobs.d"
SAMPLES = sorted(FOLDER.glob("*.yaml"))
NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND

# These need somebody to talk to; tests of their own give them one.
NEEDS_A_PARTNER = {"daily-report", "service-check"}
TELLS_SOMEBODY = {"follow-up", "notification", "reminder"}


def declared(path: Path) -> Declared:
    loaded = load_file(str(path), path.read_bytes(), settings=Settings())
    assert not loaded.problems
    (wanted,) = loaded.jobs
    return wanted.job


def run(job: Declared) -> Any:
    module, _, function = job.handler.partition(":")
    context = Job(
        name=job.name,
        run_id="run_1",
        scheduled_for_ms=NOW,
        started_at_ms=NOW,
        metadata=job.metadata,
    )
    return getattr(importlib.import_module(module), function)(context)


def test_there_are_samples() -> None:
    assert len(SAMPLES) >= 6


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_valid_named_after_its_file_and_explained(path: Path) -> None:
    job = declared(path)
    text = path.read_text()
    assert job.name == path.stem
    assert job.description
    assert text.startswith("# yaml-language-server: $schema=../schemas/job.schema.json\n")
    assert sum(line.lstrip().startswith("#") for line in text.splitlines()) >= 5


@pytest.mark.parametrize(
    "path",
    [path for path in SAMPLES if path.stem not in NEEDS_A_PARTNER | TELLS_SOMEBODY],
    ids=lambda path: path.stem,
)
def test_a_sample_runs(path: Path) -> None:
    assert isinstance(run(declared(path)), dict)


@pytest.mark.parametrize("name", sorted(TELLS_SOMEBODY))
def test_a_sample_tells_somebody_who_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER.parent / "handlers")
    job = declared(FOLDER / f"{name}.yaml")
    assert (FOLDER.parent / f"users.d/{job.user}.yaml").exists()
    ran = run_job_sync(job.handler, user=job.user, metadata=job.metadata)
    assert ran.status == "succeeded", ran.error
    assert len(ran.sent) == 1


def test_the_clean_up_only_says_what_it_would_do() -> None:
    result = run(declared(FOLDER / "clean-up.yaml"))
    assert result["dry_run"]
    assert result["removed"] == 0


def test_a_run_is_seen_within_half_a_minute() -> None:
    soon = []
    for path in SAMPLES:
        job = declared(path)
        grid = NOW
        if isinstance(job.schedule, Interval) and job.schedule.start_at is not None:
            grid = job.schedule.start_at
        due = next_occurrence(job.schedule, grid, NOW) if job.enabled else None
        if due is not None and due <= NOW + 30 * SECOND:
            soon.append(job.name)
    assert soon == ["disk-space", "heartbeat"]


def test_no_sample_leaves_this_machine() -> None:
    for path in SAMPLES:
        url = declared(path).metadata.get("url")
        assert url is None or url.startswith("http://127.0.0.1")
