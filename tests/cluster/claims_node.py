"""A node that claims and starts nothing: `python -m cluster.claims_node URL NAME JOBS`, until SIGTERM.

Its hand-over is a table: each offer is one row, unique by run and attempt, and its end is reported in the same
transaction. So the tests see what would have been started, by whom, without processes of handlers.

Faults: files in the folder of the process, which the tests write. `unreadable`: the names of jobs whose shard cannot be
read. `stuck`: the event loop stands still for so many seconds. Variables: LUAD_TEST_WRONG_BY, the milliseconds that the
clock on the wall is wrong; LUAD_TEST_WORKERS, hand over to workers instead; LUAD_TEST_SPACE, added to the lock space, so that locks do not exclude.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from luad.clock import SystemClock
from luad.cluster import pg_rows
from luad.cluster.engine_set import EngineSet
from luad.cluster.listener import Listener
from luad.cluster.node import Node, NodeSettings
from luad.cluster.node_loop import NodeLoop
from luad.cluster.pg_session import NodeParts, PgSession
from luad.cluster.procrastinate_queue import ProcrastinateHandOver
from luad.cluster.reaping import RunningAttempt
from luad.cluster.store_clock import StoreClock
from luad.cluster.turns import Turned
from luad.config.jobs.stored_jobs import job_from_store
from luad.config.settings.store_target import Target
from luad.core.events import AttemptEnded, StartAttempt, StoredJob
from luad.core.model import (
    CatchUp,
    Ending,
    EndKind,
    Interval,
    Job,
    Now,
    Origin,
    Overlap,
    Wanted,
)
from luad.core.shards import shard_of
from luad.core.state import Bounds
from luad.errors import AlreadyRunningError
from luad.store.postgresql.opening import prepare_store
from luad.store.postgresql.session import Session

_STARTS = """CREATE TABLE IF NOT EXISTS starts (
    run_id text, attempt int, node text, pid int, at timestamptz DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, attempt))"""


class Claims:
    """A hand-over that only counts."""

    def __init__(self, name: str) -> None:
        self.name = name

    def offer(self, connection: Connection, starts: Sequence[StartAttempt]) -> None:
        rows = [
            {"run": each.run.id, "attempt": each.run.attempt, "node": self.name} for each in starts
        ]
        connection.execute(
            text(
                "INSERT INTO starts (run_id, attempt, node, pid) SELECT run, attempt, node, pg_backend_pid()"
                " FROM json_to_recordset(:rows) AS r(run text, attempt int, node text)"
            ),
            {"rows": json.dumps(rows)},
        )
        reports = [
            (
                shard_of(each.run.job_name),
                AttemptEnded(
                    each.run.id, each.run.attempt, Ending(EndKind.RETURNED, each.run.claimed_at)
                ),
            )
            for each in starts
        ]
        pg_rows.insert_reports(connection, reports)

    def offer_again(self, *arguments: object) -> None:
        raise AssertionError(arguments)

    def stop(self, *arguments: object) -> None:
        raise AssertionError(arguments)

    def running(self, *_: object) -> list[RunningAttempt]:
        return []


class WrongClock:
    """A machine whose clock on the wall is wrong."""

    def __init__(self, wrong_by: int) -> None:
        self._clock, self._wrong_by = SystemClock(), wrong_by

    def now(self) -> Now:
        now = self._clock.now()
        return Now(now.wall + self._wrong_by, now.elapsed)


class Lines:
    """Prints what the node does, one JSON object a line."""

    def __init__(self, name: str) -> None:
        self.name = name

    def say(self, event: str, **fields: object) -> None:
        print(json.dumps({"node": self.name, "event": event, **fields}), flush=True)  # noqa: T201

    def taken(self, shard: int, _: Turned) -> None:
        self.say("taken", shard=shard)

    def given(self, shards: Collection[int]) -> None:
        self.say("given", shards=sorted(shards))

    def lost(self, shards: Collection[int], error: Exception) -> None:
        self.say("lost", shards=sorted(shards), error=f"{type(error).__name__}: {error}")

    def turned(self, turned: Turned) -> None:
        refused = [each for each in turned.announced if getattr(each, "event", "") == "run.refused"]
        if refused:
            self.say("refused", count=len(refused))
        stuck = Path("stuck")
        if stuck.exists():
            seconds = float(stuck.read_text())
            stuck.unlink()
            self.say("stuck")
            time.sleep(seconds)
        if turned.bad_rows:
            self.say("bad", rows=[row.seq for row, _ in turned.bad_rows])

    def shard_failed(self, shard: int, error: Exception) -> None:
        self.say("shard_failed", shard=shard, error=f"{type(error).__name__}: {error}")


def jobs_of(count: int) -> dict[str, Wanted]:
    """The jobs that every node declares: due each second, all late ones run."""
    found = {}
    for number in range(count):
        name = f"job-{number}"
        document: dict[str, Any] = {
            "name": name,
            "handler": "m:f",
            "schedule": {"type": "interval", "seconds": 1, "start_at": "2026-01-01T00:00:00Z"},
            "catch_up": "all",
            "overlap": "allow",
        }
        job = Job(
            name,
            "m:f",
            Interval(1_000, 1_767_225_600_000),
            "rev",
            overlap=Overlap.ALLOW,
            max_running=1_000,
            catch_up=CatchUp.ALL,
            definition=document,
        )
        found[name] = Wanted(job, Origin(f"jobs.d/{name}.yaml"))
    return found


def decode(wanted: Mapping[str, Wanted], rows: Sequence[StoredJob]) -> list[tuple[StoredJob, Job]]:
    """The tests declare few jobs, and never change them."""
    if Path("unreadable").exists():
        names = Path("unreadable").read_text(encoding="utf-8").split()
        if any(row.name in names for row in rows):
            raise ValueError("the test says that this shard cannot be read")
    return [(row, wanted[row.name].job) for row in rows]


async def live(url: str, name: str, count: int) -> None:
    target, lines = Target(url), Lines(name)
    clock = StoreClock(WrongClock(int(os.environ.get("LUAD_TEST_WRONG_BY", "0"))))
    wanted = jobs_of(count)
    space = await asyncio.to_thread(prepare_store, target, name, lambda _: None)
    space += int(os.environ.get("LUAD_TEST_SPACE", "0"))
    parts = NodeParts(
        pg_rows.Identity(name, "0", "0"),
        ProcrastinateHandOver() if os.environ.get("LUAD_TEST_WORKERS") else Claims(name),
        lambda shard: {each: w for each, w in wanted.items() if shard_of(each) == shard},
        partial(decode, wanted),
        job_from_store,
        space,
        name_wait_ms=2_000,
    )
    node = Node(NodeSettings(name, 10_000), EngineSet(Bounds(1)), clock, lines)

    async def connect() -> PgSession:
        session = await PgSession(Session(target, node=name, lock_space=space), parts).open()
        await session.work(partial(make_table, session))
        lines.say("connected")
        return session

    life = NodeLoop(node, clock, connect)
    loop = asyncio.get_running_loop()
    listener = Listener(
        target,
        name,
        [pg_rows.INBOX_CHANNEL],
        lambda *_: loop.call_soon_threadsafe(life.poke) and None,
    )
    listener.start()
    loop.add_signal_handler(signal.SIGTERM, life.stop)
    try:
        await life.run()
    except AlreadyRunningError as error:
        lines.say("refused to start", error=error.message)
        return
    finally:
        listener.stop()
    lines.say("left")


def make_table(session: PgSession) -> None:
    with session.locks.transaction() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
        connection.execute(text(_STARTS))
        ProcrastinateHandOver().migrate(connection)


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], sys.argv[2], int(sys.argv[3])))
