"""Rows of jobs that none of ours can be are damage, not a crash at start."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from luad.core.events import InstallJob
from luad.store import Store


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("overlay_json", "{"),
        ("overlay_json", "{}"),
        ("overlay_json", "[]"),
        ("overlay_json", '{"values": {}, "removed": 1}'),
        ("alert_json", "7"),
        ("alert_json", "[]"),
        ("alert_json", '["failures", 1, null]'),
        ("alert_json", '["failures", [], "soon"]'),
    ],
)
async def test_a_job_that_makes_no_sense_is_damage(
    state: Path, open_store: Callable[[], Store], install: InstallJob, column: str, text: str
) -> None:
    with closing(open_store()) as store:
        await store.apply([install])
    with closing(sqlite3.connect(state / "luad.db")) as connection, connection:
        connection.execute(f"UPDATE jobs SET {column} = ?", (text,))  # noqa: S608 - from the list above
    with closing(open_store()) as store:
        assert store.quarantined is not None
        assert "has an invalid row" in store.problem
        assert store.restore().jobs == ()
