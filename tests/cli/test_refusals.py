"""`luad doctor` of a new luad looks at the state of an older one, before the restart."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.old_state import unpack

from luad.clock import SystemClock
from luad.store import Store
from luad.store.sqlite.read_only import read_kept

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The state of 0.1.0, in the working folder; its daemon does not run."""
    unpack(tmp_path)
    (tmp_path / "jobs.d" / "stale.yaml").unlink()  # it is broken
    return tmp_path / ".luad" / "luad.db"


@contextmanager
def changed(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database)) as connection, connection:
        yield connection


def findings(luad: Any, name: str) -> list[dict[str, Any]]:
    done = luad("doctor", "--no-import", "--json")
    return [each for each in json.loads(done.out)["checks"] if each["name"] == name]


@pytest.mark.slow
def test_a_state_with_nothing_to_refuse_is_said_to_be_ready(luad: Any, database: Path) -> None:
    before = database.read_bytes()
    assert findings(luad, "refused") == []
    (upgrade,) = findings(luad, "upgrade")
    assert upgrade["ok"] is True
    assert "nothing is refused of its files, 6 stored jobs, 3 tokens" in upgrade["detail"]
    assert database.read_bytes() == before
    assert [each.name for each in database.parent.iterdir() if "before" in each.name] == []


@pytest.mark.slow
def test_every_file_job_and_token_that_is_refused_is_listed(luad: Any, database: Path) -> None:
    jobs = database.parents[1] / "jobs.d"
    for name in ("one", "two"):
        (jobs / f"{name}.yaml").write_text(f"name: {name}\nhandler: [\n")
    open_to_all = jobs / "civil.yaml"
    open_to_all.chmod(0o666)
    (jobs / "taken.yaml").write_text(
        "name: weekly-review\nhandler: work:good\nschedule: {type: interval, every: 1h}\n"
    )
    with changed(database) as connection:
        for old, new, name in (
            ("work:good", "os:abort", "every-eleven"),
            ('"schedule"', '"shedule"', "dynamic-paused"),
        ):
            connection.execute(
                "UPDATE jobs SET definition_json = replace(definition_json, ?, ?) WHERE name = ?",
                (old, new, name),
            )
        connection.execute("UPDATE tokens SET role = 'owner' WHERE name = 'look'")
    listed = [each["detail"] for each in findings(luad, "refused")]
    for words in (
        ("one.yaml", "LU0"),
        ("two.yaml", "LU0"),
        ("civil.yaml", "can be written by every user"),
        ("every-eleven", "`os:abort` is not allowed"),
        ("dynamic-paused", "shedule"),
        ("weekly-review", "taken.yaml declares a job of that name"),
        ("the token look", "its role `owner` does not exist"),
    ):
        assert [each for each in listed if all(word in each for word in words)], (words, listed)
    assert all(each["fix"] for each in findings(luad, "refused"))
    (upgrade,) = findings(luad, "upgrade")
    assert upgrade["ok"] is False
    assert f"refuses {len(listed)} things of it" in upgrade["detail"]


@pytest.mark.slow
def test_a_state_of_today_is_not_an_upgrade(luad: Any, database: Path) -> None:
    Store.open(database.parent, clock=SystemClock()).close()
    assert findings(luad, "upgrade") == findings(luad, "refused") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_root_leaves_no_files_of_its_own_beside_the_database() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(folder)
        database = folder / ".luad" / "luad.db"
        Path(f"{database}-wal").touch()
        for path in (folder, database.parent, *database.parent.iterdir()):
            os.chown(path, 65534, 65534)
        folder.chmod(0o755)
        kept = read_kept(database)
        assert kept is not None
        assert (kept.version, len(kept.jobs), len(kept.tokens)) == ("0003", 6, 3)
        owners = {path.name: path.stat().st_uid for path in database.parent.iterdir()}
        assert set(owners.values()) == {65534}, owners
        assert (os.geteuid(), os.getegid()) == (0, 0)
