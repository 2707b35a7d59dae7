"""luad.handlers.sqlite with real databases."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from luad.handlers.sqlite import BackupError, backup
from luad.sdk import Job

MakeJob = Callable[..., Job]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "shop.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE sale (id INTEGER PRIMARY KEY, note TEXT)")
        db.executemany("INSERT INTO sale (note) VALUES (?)", [("x" * 100,)] * 500)
    return path


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        count: int = db.execute("SELECT count(*) FROM sale").fetchone()[0]
        return count


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_is_complete_private_and_named_after_its_instant(
    make_job: MakeJob, shop: Path, tmp_path: Path
) -> None:
    target = tmp_path / "not" / "there" / "yet"
    result = backup(make_job(source=str(shop), target_dir=str(target)))
    copy = target / "shop-20251122T120000Z.db"
    assert result == {"file": str(copy), "bytes": copy.stat().st_size, "removed": []}
    assert copies(target) == [copy.name]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert rows(copy) == 500


def test_a_writer_in_the_middle_of_something_does_not_get_into_the_copy(
    make_job: MakeJob, shop: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(shop, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM sale")
        result = backup(make_job(source=str(shop), target_dir=str(tmp_path / "copies")))
        writer.execute("ROLLBACK")
    assert rows(Path(result["file"])) == 500


def test_only_the_newest_copies_stay_and_only_copies_go(
    make_job: MakeJob, shop: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    others = [
        "shop-notes.db",
        "shop.db",
        "shop-20200101T000000Z.db.gz",
        "other-20200101T000000Z.db",
    ]
    for name in others:
        (folder / name).write_text("not a copy of this database")
    first = make_job().scheduled_for
    for day in range(4):
        job = make_job(
            at=first + timedelta(days=day), source=str(shop), target_dir=str(folder), keep=2
        )
        result = backup(job)
    assert result["removed"] == ["shop-20251123T120000Z.db"]
    assert copies(folder) == sorted(
        [*others, "shop-20251124T120000Z.db", "shop-20251125T120000Z.db"]
    )


def test_a_run_that_is_caught_up_does_not_remove_its_own_copy(
    make_job: MakeJob, shop: Path, tmp_path: Path
) -> None:
    asked = {"source": str(shop), "target_dir": str(tmp_path / "copies"), "keep": 1}
    newer = make_job().scheduled_for + timedelta(days=1)
    backup(make_job(at=newer, **asked))
    result = backup(make_job(**asked))
    assert Path(result["file"]).exists()


def test_the_same_instant_again_replaces_the_copy(
    make_job: MakeJob, shop: Path, tmp_path: Path
) -> None:
    asked = {"source": str(shop), "target_dir": str(tmp_path / "copies")}
    backup(make_job(**asked))
    with closing(sqlite3.connect(shop)) as db, db:
        db.execute("DELETE FROM sale WHERE id > 10")
    assert rows(Path(backup(make_job(**asked))["file"])) == 10
    assert len(copies(tmp_path / "copies")) == 1


def test_what_is_no_database_leaves_nothing_behind(make_job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("this is not a database, but long enough to be taken for one")
    folder = tmp_path / "copies"
    with pytest.raises(BackupError, match="not a database"):
        backup(make_job(source=str(tmp_path / "shop.db"), target_dir=str(folder)))
    assert copies(folder) == []


def test_a_damaged_database_gives_no_copy_and_costs_no_older_one(
    make_job: MakeJob, shop: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copies"
    asked = {"source": str(shop), "target_dir": str(folder), "keep": 1}
    good = Path(backup(make_job(**asked))["file"])
    with closing(sqlite3.connect(shop)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with shop.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096)
    later = make_job().scheduled_for + timedelta(days=1)
    with pytest.raises(BackupError, match=r"the copy is damaged|malformed"):
        backup(make_job(at=later, **asked))
    assert copies(folder) == [good.name]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"target_dir": "/tmp"}, "metadata.source: is missing"),
        (
            {"source": "/no/such.db", "target_dir": "/tmp"},
            "metadata.source: /no/such.db is not a file",
        ),
        ({"source": "/etc/passwd"}, "metadata.target_dir: is missing"),
        ({"source": "/etc/passwd", "target_dir": "/etc/passwd/x"}, "metadata.target_dir: "),
        ({"source": "/etc/passwd", "target_dir": "/tmp", "keep": 0}, "metadata.keep: 0 is outside"),
    ],
)
def test_a_wrong_parameter_is_named(make_job: MakeJob, metadata: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        backup(make_job(**metadata))
