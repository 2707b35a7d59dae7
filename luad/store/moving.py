"""Copies an embedded store to PostgreSQL, once and offline, and marks it as moved.

Rule: at no instant do both stores serve. The embedded store refuses from before the copy is committed; the copy is
one transaction, so a failure leaves an empty target, and the copy can be repeated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table, func, select

from luad.config.settings.store_target import Target
from luad.core.model import DAY, OPEN_STATES
from luad.core.shards import shard_of
from luad.errors import ConflictError, NotFoundError, StoreUnavailableError
from luad.store.access_tables import (
    acknowledgements,
    answers,
    audit,
    audit_jobs,
    software,
    tokens,
)
from luad.store.columns import to_text
from luad.store.migration_progress import Report
from luad.store.postgresql.opening import prepare_store
from luad.store.postgresql.session import Session
from luad.store.postgresql.shared import take_all
from luad.store.sqlite.connect import connect, writer_engine
from luad.store.sqlite.migrate import Age, Check, examine, prepare
from luad.store.sqlite.moved import Mark, mark_of, set_mark
from luad.store.state_folder import DATABASE, StateLock
from luad.store.tables import (
    attempts,
    deliveries,
    jobs,
    messages,
    meta,
    revisions,
    run_logs,
    runs,
    user_data,
    users,
)

COPIED: Final = (
    jobs,
    revisions,
    runs,
    attempts,
    run_logs,
    users,
    user_data,
    messages,
    deliveries,
    answers,
    tokens,
    audit,
    audit_jobs,
    acknowledgements,
    software,
)
"""The tables that come along, those that others refer to first."""

LEFT_OUT: Final = {
    "files": "each node reads its own files again",
    "sessions": "browsers sign in again",
    "sign_in_codes": "sign-in codes are for minutes",
}
_NAMES: Final = {"jobs": "name", "runs": "job_name"}
"""The columns with the names of jobs, which decide the shards."""

_SOURCE: Final = "copied_from"
_SETTINGS: Final = {"synchronous_commit": "on", "lock_timeout": "5s"}


@dataclass(frozen=True, slots=True)
class Copied:
    """The rows that came along by table. *is_new*: this call copied them, not an earlier one."""

    rows: dict[str, int]
    is_new: bool


def copy_store(state_dir: Path, target: Target, report: Report) -> Copied:
    """Copy the embedded store in *state_dir* to the empty database of *target*, and mark it as moved.

    Raises NotFoundError without a store, AlreadyRunningError while a daemon uses it, ConflictError while a run is
    open or when the target is not empty, and StoreUnavailableError.
    """
    path = state_dir.absolute() / DATABASE
    with _locked(path):
        _bring_up_to_date(path, report)
        space = prepare_store(target, "copy", report)
        session = Session(target, node="copy", lock_space=space, settings=_SETTINGS)
        with closing(connect(path)) as source, closing(session):
            source.text_factory = lambda raw: raw.decode("utf-8", "replace")
            _refuse_open_runs(source)
            session.open()
            if not take_all(session):
                raise ConflictError(
                    f"a node runs on {target.shown}", hint="stop it, or choose an empty database"
                )
            return _copy(source, session, target)


def reopen(state_dir: Path) -> str:
    """Take the mark of a moved store back, and return where it had been moved to.

    Raises NotFoundError without a store or a mark, and AlreadyRunningError.
    """
    path = state_dir.absolute() / DATABASE
    with _locked(path), closing(connect(path)) as source:
        mark = mark_of(source)
        if mark is None:
            raise NotFoundError(f"{path} is not marked as moved", hint="luad serve can use it")
        set_mark(source, None)
        return mark.where


def _copy(source: sqlite3.Connection, session: Session, target: Target) -> Copied:
    state = _state_of(source)
    with session.transaction(limit_ms=7 * DAY) as connection:
        copied_from = connection.execute(select(meta.c.value).where(meta.c.key == _SOURCE)).scalar()
        if copied_from == state:
            found = Copied({each.name: _count(connection, each) for each in COPIED}, is_new=False)
        else:
            _refuse_rows(connection, target)
            rows = {each.name: _copy_table(source, connection, each) for each in COPIED}
            _copy_meta(source, connection, state)
            found = Copied(rows, is_new=True)
            # From here on, this store refuses to serve: the commit may arrive although luad is killed.
            set_mark(source, Mark(target.shown, is_done=False))
    set_mark(source, Mark(target.shown, is_done=True))
    return found


def _refuse_rows(connection: Connection, target: Target) -> None:
    for table in COPIED:
        if connection.execute(select(table).limit(1)).first() is not None:
            raise ConflictError(
                f"{target.shown} is not empty: `{table.name}` has rows",
                hint="choose an empty database; luad store copy merges nothing",
            )


def _copy_table(source: sqlite3.Connection, connection: Connection, table: Table) -> int:
    """Copy the rows of *table*, and return their number."""
    names = list(table.c.keys())
    shard = names.index("shard") if "shard" in names else None
    named = names.index(_NAMES[table.name]) if shard is not None else 0
    columns = ", ".join(f'"{name}"' for name in names)
    driver = connection.connection.driver_connection
    assert driver is not None
    rows = source.execute(f"SELECT {columns} FROM {table.name}")  # noqa: S608 - luad's own names
    count = 0
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
    ):
        for row in rows:
            values = [to_text(each) if isinstance(each, str) else each for each in row]
            if shard is not None:
                values[shard] = shard_of(str(values[named]))
            copy.write_row(values)
            count += 1
    if _count(connection, table) != count:
        raise StoreUnavailableError(f"`{table.name}` has other rows than were copied")
    return count


def _copy_meta(source: sqlite3.Connection, connection: Connection, state: str) -> None:
    values = {_SOURCE: state}
    for key, value in source.execute("SELECT key, value FROM meta WHERE key IN ('last_seen')"):
        values[str(key)] = str(value)
    rows = [{"key": key, "value": value} for key, value in values.items()]
    connection.execute(meta.delete().where(meta.c.key.in_(values)))
    connection.execute(meta.insert(), rows)


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _state_of(source: sqlite3.Connection) -> str:
    """Return a text that another state of this store, or another store, does not have."""
    parts = [
        source.execute(f"SELECT count(*) FROM {each.name}").fetchone()[0]  # noqa: S608 - own names
        for each in COPIED
    ]
    query = "SELECT value FROM meta WHERE key = 'last_seen'"
    parts.append(source.execute(query).fetchone())
    parts.append(source.execute("SELECT max(id) FROM runs").fetchone())
    return repr(parts)


def _refuse_open_runs(source: sqlite3.Connection) -> None:
    states = ", ".join(f"'{state.value}'" for state in sorted(OPEN_STATES))
    query = f"SELECT count(*), min(id) FROM runs WHERE state IN ({states})"  # noqa: S608 - own words
    count, first = source.execute(query).fetchone()
    if count:
        raise ConflictError(
            f"{count} run{'s are' if count > 1 else ' is'} not over yet: {first}",
            hint="start luad serve, wait or cancel them, stop it, and copy again",
        )


def _bring_up_to_date(path: Path, report: Report) -> None:
    age = examine(path, Check.FULL)
    if age is Age.EMPTY:
        raise NotFoundError(f"{path} is empty", hint="there is nothing to copy")
    engine = writer_engine(path)
    try:
        prepare(engine, path, age, report)
    finally:
        engine.dispose()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise NotFoundError(f"{path} does not exist", hint="--state names the folder of the store")
    lock = StateLock.take(path.parent)
    try:
        yield
    finally:
        lock.give_up()
