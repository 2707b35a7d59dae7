"""The schema of a PostgreSQL store: creates it, checks its age, and migrates an older one.

Rule: all of it is one transaction under a lock, so two nodes that start at once do it once.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Select, insert, inspect, select, text

from luad.core.events import Log
from luad.core.shards import SHARDS
from luad.errors import StoreTooNewError, StoreUnavailableError
from luad.store.cluster_tables import shards
from luad.store.migration_progress import Report
from luad.store.tables import HEAD, meta, metadata, version_table

MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
_LOCK: Final = 0x6C756164  # "luad": the locks of a store begin with a number that its schema holds
_KINDS: Final = 8  # of locks, at most
# An embedded store has one owner, which reads all; there, each of these would cost every run a twelfth more.
_INDEXES: Final = (
    "CREATE INDEX jobs_by_shard ON jobs (shard)",
    "CREATE INDEX jobs_by_next ON jobs (next_at, name) WHERE next_at IS NOT NULL",
    "CREATE INDEX runs_open_by_shard ON runs (shard) WHERE state IN ('queued', 'running', 'retrying')",
)
_STORAGE: Final = {
    "runs": {"fillfactor": 70},
    "inbox": {"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0.02},
}


def prepare(
    connection: Connection, where: str, report: Report, folder: Path = MIGRATIONS, head: str = HEAD
) -> int:
    """Bring the schema up to date in the transaction of *connection*; return the store's lock space.

    *report* gets the log lines of a migration. Raises StoreTooNewError, and StoreUnavailableError for a database
    of something else.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    tables = set(inspect(connection).get_table_names())
    if version_table.name not in tables:
        if tables & metadata.tables.keys():
            raise StoreUnavailableError(
                f"{where} has tables of another program",
                hint="give luad a database or a schema of its own",
            )
        _create(connection)
    else:
        _migrate(connection, where, report, folder, head)
    return int(connection.execute(_value("lock_space")).scalar_one())


def version_of(connection: Connection) -> str | None:
    """Return the version of the schema; None for an empty database."""
    if version_table.name not in inspect(connection).get_table_names():
        return None
    found = connection.execute(select(version_table.c.version_num)).scalar()
    return None if found is None else str(found)


def create_tables(connection: Connection) -> None:
    """Create all tables and indexes in the transaction of *connection*."""
    for table in metadata.tables.values():
        table.dialect_options["postgresql"]["with"] = _STORAGE.get(table.name)
        for index in table.indexes:
            where = index.dialect_options["sqlite"]["where"]
            index.dialect_options["postgresql"]["where"] = where
    metadata.create_all(connection, checkfirst=False)
    for each in _INDEXES:
        connection.execute(text(each))


def _create(connection: Connection) -> None:
    create_tables(connection)
    version_table.create(connection)
    connection.execute(insert(version_table).values(version_num=HEAD))
    space = secrets.randbelow(2**32 // _KINDS) * _KINDS - 2**31
    made = {"lock_space": space, "shards": SHARDS, "compatible_from": HEAD}
    connection.execute(
        insert(meta), [{"key": key, "value": str(value)} for key, value in made.items()]
    )
    connection.execute(insert(shards), [{"shard": number} for number in range(SHARDS)])


def _migrate(connection: Connection, where: str, report: Report, folder: Path, head: str) -> None:
    version = version_of(connection)
    if version is None or not version.isdecimal():
        raise StoreUnavailableError(f"{where} does not say which luad has written it")
    if int(version) > int(head):
        oldest = connection.execute(_value("compatible_from")).scalar()
        if oldest is not None and int(oldest) <= int(head):
            return
        raise StoreTooNewError(
            f"{where} was written by a newer luad (schema {int(version)}, this one knows {int(head)})",
            hint="install that luad on this machine too",
        )
    if int(version) == int(head):
        return
    from luad.store.alembic_upgrade import run_migrations  # noqa: PLC0415 - imports Alembic

    report(Log("store.migrating", {"from": version, "to": head}))
    run_migrations(connection, folder, head)
    report(Log("store.migrated", {"from": version, "to": head}))


def _value(key: str) -> Select[str]:
    return select(meta.c.value).where(meta.c.key == key)
