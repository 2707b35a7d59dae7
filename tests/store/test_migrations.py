"""From the schemas of older luads to today's."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect

from luad.store import Store
from luad.store.sqlite.connect import writer_engine
from luad.store.sqlite.migrate import upgrade
from luad.store.tables import HEAD, metadata

pytestmark = pytest.mark.slow  # Alembic alone takes a third of a second


def migrated(path: Path, target: str) -> Path:
    """A database that an older luad has left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("VACUUM")
    engine = writer_engine(path)
    upgrade(engine, target)
    engine.dispose()
    return path


def shape_of(path: Path) -> object:
    engine = writer_engine(path)
    inspector = inspect(engine)
    shape = {
        table: (
            [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table),
            sorted(inspector.get_foreign_keys(table), key=str),
            sorted(
                (index["name"], index["column_names"], index["unique"])
                for index in inspector.get_indexes(table)
            ),
        )
        for table in inspector.get_table_names()
    }
    engine.dispose()
    return shape


def statements_of(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {(name, "".join(sql.split())) for name, sql in rows}


def test_a_fresh_database_equals_a_migrated_one(
    state: Path, open_store: Callable[[], Store], tmp_path: Path
) -> None:
    open_store().close()
    old = migrated(tmp_path / "old.db", HEAD)
    assert shape_of(state / "luad.db") == shape_of(old)
    assert statements_of(state / "luad.db") == statements_of(old)


def test_every_script_is_named_after_its_revision() -> None:
    folder = Path(sys.modules["luad.store"].__path__[0]) / "migrations" / "versions"
    scripts = sorted(folder.glob("v*.py"))
    assert [script.name[1:5] for script in scripts] == [
        f"{number:04d}" for number in range(1, int(HEAD) + 1)
    ]


def test_an_older_database_is_brought_up_to_date_with_all_that_is_in_it(
    state: Path, open_store: Callable[[], Store]
) -> None:
    database = migrated(state / "luad.db", "0001")
    assert "run_logs" not in {name for name, _ in statements_of(database)}
    fill(database)
    with closing(open_store()) as store:
        (job,) = store.restore().jobs
        assert (job.name, store.quarantined) == ("backup", None)
    assert {name for name, _ in statements_of(database)} >= metadata.tables.keys()
    open_store().close()


def fill(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO jobs (job_id, name, revision, definition_json, installed_at, grid_at,"
            " handled_until, consecutive_failures) VALUES ('job_1', 'backup', 'r', '{}', 1, 2, 3, 4)"
        )


# Kills itself before the n-th statement, for every n, until one gets through.
KILLED = """
import os, signal, sys
from pathlib import Path
import alembic.command, alembic.runtime.environment
from sqlalchemy import Engine, event
from luad.clock import SystemClock
from luad.store import Store

def attempt(limit):
    seen = 0
    def count(*_):
        nonlocal seen
        seen += 1
        if seen > limit:
            os.kill(os.getpid(), signal.SIGKILL)
    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    Store.open(Path(sys.argv[1]), clock=SystemClock()).close()
    os._exit(0)

limit = 0
while True:
    child = os.fork()
    if not child:
        attempt(limit)
    _, status = os.waitpid(child, 0)
    print(limit, status, flush=True)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    sys.stdin.readline()
    limit += 1
"""


def test_a_migration_that_is_killed_has_not_happened(
    state: Path, open_store: Callable[[], Store], is_sound: Callable[[Path], bool]
) -> None:
    database = migrated(state / "luad.db", "0001")
    fill(database)
    whole = {
        stamp: (statements_of(made), shape_of(made))
        for stamp in ("0001", HEAD)
        for made in [migrated(state / "others" / f"{stamp}.db", stamp)]
    }
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    deaths = 0
    for line in process.stdout:
        if line.split()[1] == "0":
            break
        deaths += 1
        assert is_sound(database)
        assert (statements_of(database), shape_of(database)) == whole[stamp_of(database)]
        print("go", file=process.stdin, flush=True)
    process.stdin.close()
    process.stdout.close()
    assert process.wait() == 0
    assert deaths > 5
    with closing(open_store()) as store:
        assert [job.name for job in store.restore().jobs] == ["backup"]
        assert store.quarantined is None


def stamp_of(database: Path) -> str:
    """Which schema a database says that it has."""
    with closing(sqlite3.connect(database)) as connection:
        ((stamp,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(stamp)
