"""Checks a PostgreSQL database before a node relies on it: connection, rights, pooler, standby, schema.

Rule: changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from luad.config.settings.store_target import Target
from luad.errors import LuadError
from luad.store.postgresql.connect import READER, Link
from luad.store.postgresql.opening import LEAST_VERSION, refuse_pooler
from luad.store.postgresql.schema import version_of
from luad.store.tables import HEAD


class Level(StrEnum):
    """How good a finding is."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """The subject of a check, its result, and the remedy in words."""

    level: Level
    what: str
    words: str


def check_store(target: Target) -> list[Finding]:
    """Return what luad finds about the database of *target*, the connection first."""
    try:
        refuse_pooler(target, "check")
        with closing(Link(target, "luad check", READER)) as link:
            link.open()
            return list(_look(link))
    except LuadError as error:
        words = f"{error.message}; {error.hint}" if error.hint else error.message
        return [Finding(Level.BAD, "connection", words)]


def _look(link: Link) -> Iterator[Finding]:
    yield Finding(
        Level.GOOD, "connection", f"{link.where} answers, without a pooler of transactions"
    )
    yield _version(link)
    yield _encryption(link)
    yield _standby(link)
    yield _commits(link)
    yield _rights(link)
    yield _schema(link)


def _version(link: Link) -> Finding:
    number, name = _row(
        link,
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
    )
    level = Level.GOOD if number >= LEAST_VERSION else Level.BAD
    return Finding(level, "version", f"PostgreSQL {name}; luad needs 14 or later")


def _encryption(link: Link) -> Finding:
    (is_encrypted, is_here) = _row(
        link,
        "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),"
        " coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true)",
    )
    if is_encrypted:
        return Finding(Level.GOOD, "encryption", "the connection uses TLS")
    if is_here:
        return Finding(Level.GOOD, "encryption", "the server is on this machine")
    return Finding(Level.WARNING, "encryption", "no TLS: add ?sslmode=verify-full to `store`")


def _standby(link: Link) -> Finding:
    if _row(link, "SELECT pg_is_in_recovery()")[0]:
        words = "this is a standby; name all hosts in `store`, and luad finds the primary"
        return Finding(Level.BAD, "standby", words)
    return Finding(Level.GOOD, "standby", "this is a primary")


def _commits(link: Link) -> Finding:
    flush, commit, standbys = _row(
        link,
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
        " current_setting('synchronous_standby_names')",
    )
    if flush != "on":
        words = f"fsync = {flush}: a power cut may take committed claims, and a run may start twice"
        return Finding(Level.WARNING, "commits", words)
    if not standbys:
        words = "no synchronous standby: after a failover, the last commits may be gone"
        return Finding(Level.WARNING, "commits", words)
    return Finding(Level.GOOD, "commits", f"synchronous_commit = {commit}, standbys {standbys}")


def _rights(link: Link) -> Finding:
    create, user = _row(
        link,
        "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), current_user",
    )
    if create:
        return Finding(Level.GOOD, "rights", f"{user} may create tables")
    words = f"{user} may not create tables: GRANT CREATE ON SCHEMA public TO {user}"
    return Finding(Level.BAD, "rights", words)


def _schema(link: Link) -> Finding:
    with link.transaction() as connection:
        version = version_of(connection)
    if version is None:
        words = "no schema yet: luad store upgrade or the first node creates it"
        return Finding(Level.GOOD, "schema", words)
    if version == HEAD:
        return Finding(Level.GOOD, "schema", f"schema {version} is the one of this luad")
    if version < HEAD:
        words = f"schema {version} is older than {HEAD}: luad store upgrade"
        return Finding(Level.WARNING, "schema", words)
    return Finding(
        Level.BAD, "schema", f"schema {version} is of a newer luad; this one knows {HEAD}"
    )


def _row(link: Link, query: str) -> tuple[Any, ...]:
    row = link.ask(query)
    assert row is not None
    return row
