"""Rows of jobs that none of ours can be are damage, not a crash at start."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from luad.config.jobs.compact_jobs import LazyObject, compact
from luad.core.events import InstallJob, StoredJob
from luad.store import Store
from luad.store.columns import to_json


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


async def test_the_store_keeps_no_row_of_a_job_that_it_has_handed_over(
    open_store: Callable[[], Store], install: InstallJob
) -> None:
    def rows() -> list[object]:
        every = (each for each in gc.get_objects() if isinstance(each, StoredJob))
        return [each for each in every if each.revision == "only here"]

    job = replace(install.job, revision="only here")
    with closing(open_store()) as store:
        await store.apply([replace(install, job=job)])
    with closing(open_store()) as store:
        restored = store.restore()
        (stored,) = restored.jobs
        assert stored.progress.grid_at is stored.installed_at  # equal numbers are one object
        assert stored.progress.handled_until is stored.installed_at
        del restored, stored
        assert rows() == []
        assert len(store.restore().jobs) == 1  # it reads them again


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"text": 'a\tb "c" \0 </script>', "numbers": [1, 1.5, 1e300, -0.0], "none": None},
        {"town": "Zürich"},
        {"half": "\ud83d"},
        {"limit": float("nan")},
        {"limit": [float("inf"), float("-inf")]},
        {"word": "NaN and Infinity"},
    ],
)
def test_a_document_that_is_text_is_stored_as_its_value_is(
    install: InstallJob, metadata: dict[str, object]
) -> None:
    document = {"name": "backup", "metadata": metadata}
    job = compact(replace(install.job, definition=document, metadata=metadata))
    assert to_json(job.definition) == to_json(document)
    assert to_json(job.metadata) == to_json(metadata)


def test_plain_text_of_a_document_is_stored_without_reading_it() -> None:
    text = '{"name":"backup"}'
    assert to_json(LazyObject(text)) is text
