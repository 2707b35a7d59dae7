"""The copy of the database that is made before a migration."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.old_state import unpack

from luad.clock import SystemClock
from luad.core.events import Log
from luad.store import Store, migration_progress
from luad.store.sqlite import copies
from luad.store.tables import HEAD

pytestmark = pytest.mark.slow  # Alembic alone takes a third of a second
OLD = "0003"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    unpack(tmp_path)
    return tmp_path / ".luad" / "luad.db"


def everything_in(database: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(database)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY 1")]
        tables = [name for name in names if not name.startswith("sqlite_") and "_by_" not in name]
        found: dict[str, list[Any]] = {"": names}
        for table in tables:
            if table in names and _is_table(connection, table):
                found[table] = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - of this database
        return found


def _is_table(connection: sqlite3.Connection, name: str) -> bool:
    question = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    return bool(connection.execute(question, (name,)).fetchone()[0])


def version_in(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_the_copy_is_what_was_there_before(database: Path) -> None:
    before = everything_in(database)
    told: list[Log] = []
    Store.open(database.parent, clock=SystemClock(), report=told.append).close()
    copy = database.with_name(f"luad.db.before-{HEAD}")
    assert (version_in(database), version_in(copy)) == (HEAD, OLD)
    assert everything_in(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [line.event for line in told] == ["store.migrating", "store.migrated"]
    assert told[0].fields["from"] == OLD
    assert told[1].fields["copy"] == str(copy)
    go_back(database.parent)
    assert everything_in(database) == before
    assert version_in(database.parent / "after-upgrade" / "luad.db") == HEAD
    Store.open(database.parent, clock=SystemClock()).close()
    assert version_in(database) == HEAD


def go_back(state: Path) -> None:
    """Do what the how-to says, with its own commands, in the state folder."""
    page = (Path(__file__).parents[2] / "docs/how-to/upgrade-luad.md").read_text()
    commands = page.split("cd /var/lib/luad\n")[1].split("systemctl start")[0]
    assert "luad.db.before-0005" in commands
    subprocess.run(["sh", "-ec", commands], cwd=state, check=True, timeout=30)


def test_a_database_of_today_is_not_copied(database: Path) -> None:
    for _ in range(2):
        Store.open(database.parent, clock=SystemClock()).close()
    database.with_name(f"luad.db.before-{HEAD}").unlink()
    told: list[Log] = []
    Store.open(database.parent, clock=SystemClock(), report=told.append).close()
    assert told == []
    assert not list(database.parent.glob("*.before-*"))


def test_the_last_two_copies_are_kept(database: Path) -> None:
    for number in ("0001", "0002", "0003"):
        database.with_name(f"luad.db.before-{number}").write_text("older")
    mine = database.with_name("luad.db.before-upgrade")
    mine.write_text("an administrator's own")
    Store.open(database.parent, clock=SystemClock()).close()
    left = {path.name for path in database.parent.glob("luad.db.before-*")}
    assert left == {"luad.db.before-0003", f"luad.db.before-{HEAD}", mine.name}


def test_progress_is_told_while_it_copies_and_migrates(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_progress, "TELL_EVERY_MS", 0)
    monkeypatch.setattr(migration_progress, "_STEPS", 100)
    monkeypatch.setattr(copies, "_PAGES", 10)
    told: list[Log] = []
    Store.open(database.parent, clock=SystemClock(), report=told.append).close()
    steps = [line.fields["step"] for line in told if line.event == "store.migration_progress"]
    assert set(steps) == {"copying", "migrating"}
    assert steps == sorted(steps), "first the copy"
    percents = [line.fields["done_percent"] for line in told if "done_percent" in line.fields]
    assert percents == sorted(percents)
    assert percents[-1] == 100


# Kills itself at the n-th word of the migration, for every n, until one gets through.
KILLED = """
import os, signal, sys
from pathlib import Path
from luad.clock import SystemClock
from luad.store import Store, migration_progress
from luad.store.sqlite import copies

migration_progress.TELL_EVERY_MS, migration_progress._STEPS, copies._PAGES = 0, 2000, 20
left = int(sys.argv[2])

def report(line):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

Store.open(Path(sys.argv[1]), clock=SystemClock(), report=report).close()
"""


def test_a_kill_while_it_copies_or_migrates_leaves_the_old_or_the_new(database: Path) -> None:
    before = everything_in(database)
    copy = database.with_name(f"luad.db.before-{HEAD}")
    words = 0
    while True:
        command = [sys.executable, "-c", KILLED, str(database.parent), str(words)]
        code = subprocess.run(command, check=False, timeout=60).returncode
        if code == 0:
            break
        assert code == -9
        if copy.exists():
            assert everything_in(copy) == before, "a copy that has its name is whole"
        if version_in(database) == OLD:
            assert everything_in(database) == before
        words += 7
    assert words > 20
    assert (version_in(database), everything_in(copy)) == (HEAD, before)
    assert not list(database.parent.glob("*.new*"))


FULL = """
mount -t tmpfs -o size={size}k tmpfs {0} && cp -a {0}-aside/. {0}/ && exec "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_without_the_room_nothing_is_migrated(database: Path, tmp_path: Path) -> None:
    state = database.parent
    shutil.copytree(state, f"{state}-aside")
    size = database.stat().st_size // 1024 + 1024
    code = (
        "import sys; from pathlib import Path; from luad.clock import SystemClock\n"
        "from luad.store import Store; from luad.errors import StoreUnavailableError\n"
        "try: Store.open(Path(sys.argv[1]), clock=SystemClock())\n"
        "except StoreUnavailableError as error: print(error.message, '|', error.hint)\n"
        "print(sorted(each.name for each in Path(sys.argv[1]).iterdir()))"
    )
    script = FULL.format(state, size=size + 14 * 1024)
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        sys.executable,
        "-c",
        code,
        str(state),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    said, left = done.stdout.splitlines()
    assert "must be migrated, which needs" in said
    assert "luad has changed nothing" in said
    assert "before" not in left
    assert tmp_path.exists()
