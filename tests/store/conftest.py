"""What the tests of the SQLite store share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luad.clock import Now
from luad.core.events import ClaimRun, InstallJob
from luad.core.model import Interval, Job, Run, Trigger
from luad.store import Store

NOW = 1_800_000_000_000


class HandClock:
    """A clock that stands still."""

    def now(self) -> Now:
        return Now(NOW, 0)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def open_store(state: Path) -> Callable[[], Store]:
    return lambda: Store.open(state, clock=HandClock())


@pytest.fixture
def claim() -> Callable[..., ClaimRun]:
    """A claim of the n-th occurrence."""

    def make(number: int, **changes: Any) -> ClaimRun:
        fields: dict[str, Any] = {
            "id": f"run_{number:026d}",
            "job_name": "backup",
            "job_id": "job_backup",
            "revision": "r1",
            "trigger": Trigger.SCHEDULE,
            "scheduled_for": NOW + number,
            "fire_at": NOW + number,
            "claimed_at": NOW + number,
        }
        return ClaimRun(Run(**(fields | changes)))

    return make


@pytest.fixture
def install() -> InstallJob:
    job = Job("backup", "m:f", Interval(1_000), "r1", definition={"name": "backup"})
    return InstallJob("job_backup", job, None, NOW)


@pytest.fixture
def is_sound() -> Callable[[Path], bool]:
    """Does SQLite itself find nothing wrong with a database."""

    def check(database: Path) -> bool:
        connection = sqlite3.connect(database)
        try:
            return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()

    return check
