"""From the embedded store to PostgreSQL: all comes along, once, and never do both serve."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres import empty

from luad.clock import SystemClock
from luad.config.settings.store_target import Target
from luad.core.events import AddMessage, ClaimRun, InstallJob, RememberKey, SaveRun
from luad.core.messaging import Message
from luad.core.model import Creation, Ending, EndKind, Interval, Job, Origin, Run, RunState, Trigger
from luad.core.requests import AnswerKey
from luad.errors import ConflictError, NotFoundError, StoreMovedError
from luad.store import Store
from luad.store.api_access import Token
from luad.store.migration_progress import say_nothing
from luad.store.moving import COPIED, copy_store, reopen
from luad.store.postgresql.opening import prepare_store

NOW = 1_800_000_000_000


@pytest.fixture
def url(postgres_url: str) -> str:
    prepare_store(Target.parse(postgres_url), "preparing", say_nothing)
    empty(postgres_url)
    return postgres_url


def run_of(number: int, state: RunState = RunState.SUCCEEDED) -> Run:
    at = NOW + number
    ending = Ending(EndKind.RETURNED, at, exit_code=0, result_json="null")
    return Run(
        id=f"run_{number:026d}",
        job_name="backup",
        job_id="job_backup",
        revision="r1",
        trigger=Trigger.SCHEDULE,
        scheduled_for=at,
        fire_at=at,
        claimed_at=at,
        state=state,
        started_at=at,
        ended_at=at,
        ending=ending,
    )


async def fill(state: Path, count: int = 30) -> None:
    with closing(Store.open(state, clock=SystemClock())) as store:
        job = Job("backup", "m:f", Interval(1_000), "r1", definition={"name": "backup"})
        made = Job("remind", "m:f", Interval(9_000), "r1", definition={"name": "remind"})
        creation = Creation(NOW, "ann", run_of(1).id)
        await store.apply(
            [
                InstallJob("job_backup", job, Origin("jobs.d/backup.yaml"), NOW),
                InstallJob("job_remind", made, None, NOW, creation),
                RememberKey(AnswerKey("k", "f"), "job_remind", NOW),
                AddMessage(Message("msg_1", "ann", NOW, ({"type": "text", "text": "a\tb\\n"},))),
            ]
        )
        runs = [run_of(number) for number in range(count)]
        await store.apply([ClaimRun(run) for run in runs])
        await store.apply([SaveRun(run) for run in runs])
        await store.append_logs(runs[0].id, [{"ts": NOW, "message": 'a "line"\twith \\ and ü'}])
        await store.access.add_token(Token("ci", "viewer", "d" * 64, NOW))
        await store.users.save("ann", {"id": "ann"}, "r1", NOW)


def rows_of_sqlite(state: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(state / "luad.db")) as connection:
        return {each.name: read(connection, each) for each in COPIED}


def rows_of_postgresql(url: str) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(url) as connection:
        return {each.name: read(connection, each) for each in COPIED}


def read(connection: Any, table: Any) -> list[tuple[Any, ...]]:
    """Return the rows without their shards, in the order of their keys."""
    names = [f'"{name}"' for name in table.c.keys() if name != "shard"]  # noqa: SIM118 - columns
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
    query = f"SELECT {', '.join(names)} FROM {table.name} ORDER BY {keys}"  # noqa: S608 - own names
    return list(connection.execute(query))


async def test_everything_comes_along_and_the_old_store_refuses(url: str, tmp_path: Path) -> None:
    await fill(tmp_path)
    before = rows_of_sqlite(tmp_path)
    target = Target.parse(url)
    copied = copy_store(tmp_path, target, say_nothing)
    assert copied.is_new
    assert copied.rows == {name: len(rows) for name, rows in before.items()}
    assert rows_of_postgresql(url) == before == rows_of_sqlite(tmp_path)
    with pytest.raises(StoreMovedError, match=r"was moved to postgresql://") as caught:
        Store.open(tmp_path, clock=SystemClock())
    assert target.shown in caught.value.hint
    with closing(
        Store.open_shared(tmp_path / "node", target, node="one", clock=SystemClock())
    ) as store:
        restored = store.restore()
        assert {job.name for job in restored.jobs} == {"backup", "remind"}
        # An occurrence that has run keeps its row: it is not claimed again.
        assert await store.apply([ClaimRun(run_of(3))]) == (run_of(3).id,)
        assert [token.name for token in await store.access.tokens()] == ["ci"]
        (line,) = await store.read_logs(run_of(0).id)
        assert line.line["message"] == 'a "line"\twith \\ and ü'
    with psycopg.connect(url) as connection:
        open_shards = "SELECT count(*) FROM runs WHERE shard IS NULL"
        assert connection.execute(open_shards).fetchone() == (0,)


async def test_a_copy_that_is_complete_is_not_made_twice(url: str, tmp_path: Path) -> None:
    await fill(tmp_path)
    target = Target.parse(url)
    first = copy_store(tmp_path, target, say_nothing)
    again = copy_store(tmp_path, target, say_nothing)
    assert (again.rows, again.is_new) == (first.rows, False)


async def test_a_store_that_went_on_is_not_merged_into_its_copy(url: str, tmp_path: Path) -> None:
    await fill(tmp_path)
    target = Target.parse(url)
    copy_store(tmp_path, target, say_nothing)
    assert reopen(tmp_path) == target.shown
    with closing(Store.open(tmp_path, clock=SystemClock())) as store:
        await store.apply([ClaimRun(run_of(77))])
        await store.apply([SaveRun(run_of(77))])
    with pytest.raises(ConflictError, match="is not empty"):
        copy_store(tmp_path, target, say_nothing)
    Store.open(tmp_path, clock=SystemClock()).close()


async def test_an_open_run_is_not_copied(url: str, tmp_path: Path) -> None:
    await fill(tmp_path)
    with closing(Store.open(tmp_path, clock=SystemClock())) as store:
        await store.apply([ClaimRun(run_of(88, RunState.RUNNING))])
    with pytest.raises(ConflictError, match="1 run is not over yet"):
        copy_store(tmp_path, Target.parse(url), say_nothing)
    Store.open(tmp_path, clock=SystemClock()).close()


async def test_a_target_that_a_node_uses_or_has_used_is_refused(url: str, tmp_path: Path) -> None:
    await fill(tmp_path / "old")
    target = Target.parse(url)
    with closing(
        Store.open_shared(tmp_path / "node", target, node="one", clock=SystemClock())
    ) as node:
        with pytest.raises(ConflictError, match="a node runs on"):
            copy_store(tmp_path / "old", target, say_nothing)
        await node.users.save("bob", {"id": "bob"}, "r1", NOW)
    with pytest.raises(ConflictError, match="`users` has rows"):
        copy_store(tmp_path / "old", target, say_nothing)
    Store.open(tmp_path / "old", clock=SystemClock()).close()


def test_a_folder_without_a_store_or_a_mark_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        copy_store(tmp_path, Target.parse(url), say_nothing)
    Store.open(tmp_path, clock=SystemClock()).close()
    with pytest.raises(NotFoundError, match="not marked as moved"):
        reopen(tmp_path)


# Kills itself at the n-th step of a copy: before a statement of either database, and before a row of COPY.
KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
import psycopg
from luad.config.settings.store_target import Target
from luad.store import moving
from luad.store.migration_progress import say_nothing

left = int(sys.argv[3])

def step(call):
    def stepping(*words, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*words, **more)
    return stepping

psycopg.Connection.execute = step(psycopg.Connection.execute)
psycopg.Copy.write_row = step(psycopg.Copy.write_row)
moving.set_mark = step(moving.set_mark)
moving.copy_store(Path(sys.argv[1]), Target.parse(sys.argv[2]), say_nothing)
"""


@pytest.mark.slow
async def test_a_copy_that_is_killed_leaves_one_store_that_serves_and_can_be_repeated(
    url: str, tmp_path: Path
) -> None:
    await fill(tmp_path, 8)
    before = rows_of_sqlite(tmp_path)
    steps = await asyncio.to_thread(kill_at_each_step, url, tmp_path, before)
    assert steps > 10
    assert rows_of_postgresql(url) == before


def kill_at_each_step(url: str, state: Path, before: dict[str, Any]) -> int:
    number = deaths = 0
    while True:
        command = [sys.executable, "-c", KILLED, str(state), url, str(number)]
        code = subprocess.run(command, check=False, timeout=60).returncode
        assert rows_of_sqlite(state) == before
        there = rows_of_postgresql(url)
        if any(there.values()):
            assert there == before, "a copy is whole or nothing"
            assert not serves(state), "the old store must refuse from before the commit on"
        if code == 0:
            return deaths
        assert code == -9
        deaths += 1
        number += 1 if any(there.values()) else 9


def serves(state: Path) -> bool:
    try:
        Store.open(state, clock=SystemClock()).close()
    except StoreMovedError:
        return False
    return True
