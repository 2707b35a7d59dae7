"""The history of a real daemon: what its database says, and what else somebody has seen.

The database alone is enough for I1 (claims), I3 (claims), I4 (up to where each installed job says it is
handled), I6, I7, I8, I9, I10 (how long runs took) and for rows that were left open. With facts of whoever
has watched the daemon the checker decides more:

- I2, I15: `Booted`, `Stopped`, `Healed`, and whatever stood in its way;
- I3 (starts), I8 and I10 by the processes themselves: `Started`, `Ended` in place of the rows' own;
- I5, and I4 of jobs that are gone: `Removed`;
- I11: `Acknowledged` and `Found`; I12: `Loaded`; I13: `settled_in` an earlier look; I14: `Sampled`.

There is one clock then: *steady* is the same as *wall*.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulation.checker import facts_of
from simulation.history import (
    Booted,
    Ended,
    Fact,
    History,
    Installed,
    Limit,
    Removed,
    Settled,
    Started,
)
from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from luad.config.jobs.stored_jobs import job_from_store
from luad.core.model import TERMINAL_STATES, EndKind, Instant, RunState
from luad.store.columns import read_run
from luad.store.query_types import RunRow
from luad.store.tables import attempts, jobs, meta, revisions, runs

_RAN = frozenset(RunState) - {RunState.SKIPPED, RunState.MISSED}


def history_of(
    path: Path,
    facts: Iterable[Fact] = (),
    *,
    until: Instant | None = None,
    alive: frozenset[str] | None = None,
    limits: Mapping[str, Limit] | None = None,
    on_time_ms: int = 15_000,
    grace_ms: int = 15_000,
) -> History:
    """Read the database at *path*; a daemon may have it open. *facts*: what else is known, in order.

    *until*: when it was looked at, by default when the daemon was last alive. *alive*: the runs that have
    processes, by default those that are said to run.
    """
    rows, tables = _read(path)
    facts = tuple(facts)
    is_watched = any(isinstance(fact, Booted) for fact in facts)
    log: list[Fact] = list(facts)
    removed = {fact.job_id for fact in facts if isinstance(fact, Removed)}
    definitions, uncertain = _definitions(tables, removed)
    log += definitions
    if not any(isinstance(fact, Started) for fact in facts):
        log += _processes(rows, tables["attempts"])
    log.sort(key=lambda fact: (fact.wall, isinstance(fact, Removed)))
    seen = next((int(row["value"]) for row in tables["meta"] if row["key"] == "last_seen"), 0)
    running = frozenset(row.run.id for row in rows if row.run.state is RunState.RUNNING)
    wall = seen if until is None else until
    return History(
        tuple(log),
        rows,
        wall,
        wall,
        running if alive is None else alive,
        limits or {},
        {row["job_id"]: row["handled_until"] for row in tables["jobs"]},
        uncertain,
        on_time_ms if is_watched else None,
        grace_ms,
    )


def settled_in(path: Path) -> tuple[Settled, ...]:
    """Return the runs that are over by now, for comparison with a later look."""
    rows, _ = _read(path)
    return tuple(
        Settled(row.run.ended_at or 0, row.run.ended_at or 0, row.run.id, facts_of(row.run))
        for row in rows
        if row.run.state in TERMINAL_STATES & _RAN
    )


def _read(path: Path) -> tuple[tuple[RunRow, ...], dict[str, list[Any]]]:
    """Everything from one snapshot."""
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10),
        poolclass=NullPool,
    )
    with closing(engine.connect()) as connection, connection.begin():
        connection.exec_driver_sql("BEGIN")
        rows = tuple(map(read_run, connection.execute(select(runs))))
        tables = {
            table.name: list(connection.execute(select(table)).mappings())
            for table in (jobs, revisions, attempts, meta)
        }
    engine.dispose()
    return rows, tables


def _definitions(
    tables: Mapping[str, list[Any]], removed: set[str]
) -> tuple[list[Fact], frozenset[str]]:
    """When which definition came into force. A revision only tells its first and its last time: one that
    came back makes its job uncertain, and then the present definition alone owes rows."""
    present = {row["job_id"]: row for row in tables["jobs"]}
    of_job: dict[str, list[Any]] = defaultdict(list)
    for row in tables["revisions"]:
        of_job[row["job_id"]].append(row)
    found: list[Fact] = []
    uncertain = set()
    for job_id, rows in of_job.items():
        here = present.get(job_id)
        if here is None and job_id not in removed:
            continue  # nobody knows when it went
        is_plain = all(row["first_seen_at"] == row["last_installed_at"] for row in rows)
        if not is_plain:
            uncertain.add(job_id)
        is_dynamic = here is not None and here["created_at"] is not None
        for row in sorted(rows, key=lambda row: row["first_seen_at"]):
            job = job_from_store(row["definition_json"], row["revision"])
            at = row["first_seen_at"]
            if not is_plain:
                job = replace(job, enabled=False)
            found.append(Installed(at, at, job_id, job, is_dynamic))
        if not is_plain and here is not None:
            (row,) = (row for row in rows if row["revision"] == here["revision"])
            job = job_from_store(row["definition_json"], row["revision"])
            at = row["last_installed_at"]
            found.append(Installed(at, at, job_id, job, is_dynamic, here["grid_at"]))
    return found, frozenset(uncertain)


def _processes(rows: Iterable[RunRow], tries: Iterable[Any]) -> list[Fact]:
    """When processes began and ended, as their rows say."""
    of_run: dict[str, list[Any]] = defaultdict(list)
    for each in tries:
        of_run[each["run_id"]].append(each)
    found: list[Fact] = []
    for row in rows:
        run = row.run
        spans = [
            (each["attempt"], each["started_at"], each["ended_at"], each["end_kind"])
            for each in sorted(of_run[run.id], key=lambda each: int(each["attempt"]))
        ]
        if not spans and run.state in _RAN:
            kind = run.ending.kind if run.ending else None
            spans = [(run.attempt, run.started_at, run.ending and run.ending.at, kind)]
        since = run.claimed_at
        for number, begin, end, kind in spans:
            if begin is not None:
                # A row tells the definition of its last attempt alone, and not when that was decided.
                revision = run.revision if number == run.attempt else ""
                found.append(
                    Started(
                        begin, begin, run.id, number, run.job_id, revision, within=begin - since
                    )
                )
                if end is not None:
                    found.append(Ended(end, end, run.id, number, EndKind(kind)))
            since = since if end is None else end
    return found
