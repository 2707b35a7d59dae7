"""Opens a PostgreSQL store: refuses poolers of transactions, brings the schema up to date, takes the locks.

Rule: a node that cannot be sure of its locks does not start.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final

from luad.clock import elapsed_ms
from luad.config.settings.store_target import Target
from luad.errors import AlreadyRunningError, StoreUnavailableError
from luad.store.migration_progress import Report
from luad.store.postgresql.connect import CHORES, Link
from luad.store.postgresql.faults import SharedBackendError
from luad.store.postgresql.schema import prepare
from luad.store.postgresql.session import LockKind, Session

NAME_WAIT_MS: Final = 30_000
"""How long a start waits for its name, which its own former session may hold for 10 s more."""

LEAST_VERSION: Final = 140_000


def prepare_store(target: Target, node: str, report: Report) -> int:
    """Create or migrate the schema, and return the store's lock space.

    Raises StoreUnavailableError, StoreTooNewError, SharedBackendError.
    """
    refuse_pooler(target, node)
    with closing(Link(target, f"luad {node} schema", CHORES)) as link:
        link.open()
        version = link.ask("SELECT current_setting('server_version_num')::int")
        if version is None or version[0] < LEAST_VERSION:
            raise StoreUnavailableError(f"{target.shown}: luad needs PostgreSQL 14 or later")
        with link.transaction() as connection:
            return prepare(connection, target.shown, report)


def refuse_pooler(target: Target, node: str) -> None:
    """Raise SharedBackendError when two connections at once have one server process."""
    links = [Link(target, f"luad {node} check", {}) for _ in range(2)]
    try:
        for link in links:
            link.open()
        found = {link.ask("SELECT pg_backend_pid()") for link in links}
    finally:
        for link in links:
            link.close()
    if len(found) < len(links):
        raise SharedBackendError(
            f"{target.shown} is behind a pooler in transaction mode",
            hint="connect directly, or let the pooler give each client a connection for its whole session",
        )


def take_name(session: Session, node: str, wait_ms: int = NAME_WAIT_MS) -> None:
    """Take the lock of the node's name. Raises AlreadyRunningError if another node keeps it for *wait_ms*."""
    ends_at = elapsed_ms() + wait_ms
    while not session.try_lock(LockKind.NAME, node):
        if elapsed_ms() >= ends_at:
            holder = session.holder(LockKind.NAME, node) or "another connection"
            raise AlreadyRunningError(
                f"the name `{node}` is taken in {session.where} by {holder}",
                hint="give each node a name of its own (`node` in luad.yaml)",
            )
        time.sleep(0.5)
