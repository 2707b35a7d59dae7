"""Many rows in one statement of PostgreSQL: the same rows as one by one, and the same refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("psycopg")

from sqlalchemy import Connection, select

from luad.config.settings.store_target import Target
from luad.core.events import ClaimRun, Record, SaveRun
from luad.core.model import Ending, EndKind, Run, RunError, RunState, Trigger
from luad.core.values import replace
from luad.store import record_writes
from luad.store.columns import read_run
from luad.store.postgresql.connect import CHORES, Link
from luad.store.postgresql.opening import prepare_store
from luad.store.tables import runs

COUNT = 60
TEXTS = ("plain", 'quo"te', "back\\slash", "new\nline", "%s %(a)s %%", "ü😀", '{"a": null}', "")


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Connection]:
    target = Target(postgres_url)
    prepare_store(target, "ann", lambda _: None)
    link = Link(target, "test", CHORES)
    link.open()
    with link.transaction() as connection:
        yield connection
    link.close()


def claimed(number: int) -> Run:
    text = TEXTS[number % len(TEXTS)]
    return Run(
        f"run_{number}", f"job-{number}", f"job_{number}", text or "rev", Trigger.SCHEDULE, 2**53 + number, 2, 3,
        RunState.RUNNING, user=text, metadata={"text": text} if number % 2 else None, is_remote=bool(number % 2),
    )  # fmt: skip


def written(connection: Connection) -> dict[str, Run]:
    found = map(read_run, connection.execute(select(runs)))
    return {each.run.id: each.run for each in found}


def test_many_rows_in_one_statement_are_written_as_they_are_one_by_one(
    connection: Connection,
) -> None:
    many = [claimed(number) for number in range(COUNT)]
    assert record_writes.write(connection, [ClaimRun(each) for each in many], 5) == ()
    assert written(connection) == {each.id: each for each in many}
    again = [replace(claimed(number), id=f"again_{number}") for number in range(COUNT)]
    fresh = [replace(each, id=f"fresh_{each.id}", scheduled_for=7) for each in many]
    mixed: list[Record] = [
        ClaimRun(each) for pair in zip(again, fresh, strict=True) for each in pair
    ]
    assert record_writes.write(connection, mixed, 5) == tuple(each.id for each in again)
    ends = [
        replace(
            each,
            state=RunState.FAILED,
            ended_at=9,
            ending=Ending(EndKind.RAISED, 9, 1, error=RunError("E", each.user or "", "at x")),
        )
        for each in many
    ]
    record_writes.write(connection, [SaveRun(each) for each in ends], 9)
    assert written(connection) == {each.id: each for each in (*ends, *fresh)}
    late = [SaveRun(replace(each, state=RunState.SUCCEEDED)) for each in many]
    record_writes.write(connection, late, 9)
    assert written(connection)["run_0"].state is RunState.FAILED, "a terminal row never changes"
