"""The statements of the hot road: few, compiled once, and the same for each backend."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import StaticPool

from luad.core.events import ClaimRun, RecordSkip, SaveProgress, SaveRun
from luad.core.model import (
    Ending,
    EndKind,
    ProcessIdentity,
    Reason,
    Run,
    RunState,
    Skip,
)
from luad.store import columns, job_rows, prepared, record_writes
from luad.store.tables import metadata, runs

NOW = 1_800_000_000_000
ENDING = Ending(EndKind.RETURNED, NOW + 7, exit_code=0, result_json="null")
IDENTITY = ProcessIdentity(4_711, 99, "a-boot")


@pytest.fixture
def driver() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def connection(driver: sqlite3.Connection) -> Iterator[Connection]:
    engine = create_engine("sqlite+pysqlite://", creator=lambda: driver, poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.connect() as opened, opened.begin():
        yield opened


@pytest.fixture
def written(driver: sqlite3.Connection, connection: Connection) -> Callable[..., list[str]]:
    """Write a batch; return the statements that SQLite has executed for it."""

    def write(*records: Any) -> list[str]:
        seen: list[str] = []
        driver.set_trace_callback(seen.append)
        record_writes.write(connection, records, NOW)
        driver.set_trace_callback(None)
        return [each for each in seen if each.startswith(("INSERT", "UPDATE", "SELECT"))]

    return write


def started(run: Run) -> Run:
    return replace(run, state=RunState.RUNNING, started_at=NOW + 5, identity=IDENTITY)


def ended(run: Run) -> Run:
    return replace(run, state=RunState.SUCCEEDED, ended_at=NOW + 7, ending=ENDING)


def stored(connection: Connection) -> list[Run]:
    rows = connection.execute(select(runs).order_by(runs.c.id))
    return [columns.read_run(row).run for row in rows]


def test_the_start_and_the_end_of_a_short_run_are_one_update(
    connection: Connection, claim: Callable[..., ClaimRun], written: Callable[..., list[str]]
) -> None:
    claims = [claim(number, state=RunState.RUNNING) for number in range(3)]
    assert len(written(*claims)) == 3
    starts = [SaveRun(started(each.run), is_start=True) for each in claims]
    ends = [SaveRun(ended(each.run)) for each in starts]
    assert [each.split()[0] for each in written(*starts, *ends)] == ["UPDATE"] * 3
    assert stored(connection) == [each.run for each in ends]


def test_a_start_writes_its_process_and_no_more(
    connection: Connection, claim: Callable[..., ClaimRun], written: Callable[..., list[str]]
) -> None:
    run = claim(1, state=RunState.RUNNING).run
    written(ClaimRun(run))
    (statement,) = written(SaveRun(started(run), is_start=True))
    assert "boot_id" in statement
    assert "state=" not in statement  # the indexes are not touched
    assert stored(connection) == [started(run)]


def test_a_start_in_one_batch_with_what_came_before_it_keeps_both(
    connection: Connection, claim: Callable[..., ClaimRun], written: Callable[..., list[str]]
) -> None:
    run = claim(1).run
    written(ClaimRun(run))
    begun = replace(run, state=RunState.RUNNING, revision="r2")
    written(SaveRun(begun), SaveRun(started(begun), is_start=True))
    assert stored(connection) == [started(begun)]


def test_what_is_over_stays_over_in_the_same_batch(
    connection: Connection, claim: Callable[..., ClaimRun], written: Callable[..., list[str]]
) -> None:
    run = claim(1, state=RunState.RUNNING).run
    written(ClaimRun(run))
    written(SaveRun(ended(run)), SaveRun(started(run), is_start=True), SaveRun(started(run)))
    assert stored(connection) == [ended(run)]


def test_an_earlier_attempt_does_not_pass_a_later_one_in_the_same_batch(
    connection: Connection, claim: Callable[..., ClaimRun], written: Callable[..., list[str]]
) -> None:
    run = claim(1, state=RunState.RUNNING).run
    second = replace(started(run), attempt=2)
    written(ClaimRun(run), SaveRun(second), SaveRun(ended(run)))
    assert stored(connection) == [second]


def test_rows_of_several_shapes_go_into_one_batch_in_their_order(
    connection: Connection, claim: Callable[..., ClaimRun], written: Callable[..., list[str]]
) -> None:
    ours = [claim(1), claim(2, user="ann"), claim(3, metadata={"a": None}), claim(4)]
    written(*ours, claim(9, scheduled_for=NOW + 2))
    assert stored(connection) == [each.run for each in ours]
    # Of two claims of an occurrence, the first one wins, whatever columns it has.
    rival = claim(5, scheduled_for=NOW + 8)
    assert record_writes.write(connection, [claim(8, user="ann"), rival], NOW) == (rival.run.id,)


def test_each_statement_is_compiled_once(
    claim: Callable[..., ClaimRun],
    written: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def life(number: int) -> list[Any]:
        run = claim(number, state=RunState.RUNNING).run
        return [
            ClaimRun(run),
            SaveRun(started(run), is_start=True),
            SaveProgress("job_backup", NOW, NOW + number, 0, None),
        ]

    written(*life(1), SaveRun(ended(started(claim(1).run))))
    compiled: list[object] = []
    original = prepared.Prepared._compile
    monkeypatch.setattr(
        prepared.Prepared, "_compile", lambda *args: compiled.append(args) or original(*args)
    )
    written(*life(2), *life(3), SaveRun(ended(started(claim(2).run))))
    assert compiled == []


def test_the_statements_hold_for_postgresql(claim: Callable[..., ClaimRun]) -> None:
    run = claim(1, user="ann").run
    skip = Skip(RunState.MISSED, Reason.DOWNTIME, NOW, NOW + 9, 3, is_count_capped=True)
    rows = [
        (record_writes._insert_run, columns.claim_row(run)),
        (
            record_writes._insert_run,
            columns.skip_row(RecordSkip(run.id, "backup", "job_backup", "r1", skip, NOW)),
        ),
        (record_writes._save_run, columns.save_row(ended(run))),
        (record_writes._save_process, columns.process_row(started(run))),
        (
            record_writes._save_progress,
            job_rows.progress_row(SaveProgress("job_backup", NOW, NOW, 1, None)),
        ),
    ]
    for statement, row in rows:
        text = statement._compile(postgresql.dialect(), tuple(row))
        assert all(f"%({name})s" in text.sql for name in row)
        assert text.parameters([row]) == [row]
