"""Connections to PostgreSQL, with luad's settings and a deadline for each call.

Rule: only what ends a dead connection is set by libpq; everything else by SET after connecting, because poolers
refuse `options=`. After any error of the database a link is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, create_engine
from sqlalchemy.dialects.sqlite.dml import OnConflictDoNothing, OnConflictDoUpdate
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool

from luad.config.settings.store_target import Target
from luad.errors import StoreUnavailableError
from luad.store.postgresql.deadline import DEADLINE_MS, Deadline
from luad.store.postgresql.faults import database_failures

# `tcp_user_timeout` sees only unanswered data; keepalives see a server that died after it had taken the question.
LIBPQ: Final = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
SESSION: Final = {
    "idle_session_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    "synchronous_commit": "on",
}
READER: Final = {"statement_timeout": "10s", "idle_in_transaction_session_timeout": "10s"}
CHORES: Final = READER | {"lock_timeout": "5s", "synchronous_commit": "off"}

WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

Driver = psycopg.Connection[tuple[Any, ...]]


class Link:
    """One connection to *target* with *settings*, for one thread at a time. Every method may block for 15 s.

    *application*: the name that the server shows.
    """

    def __init__(self, target: Target, application: str, settings: Mapping[str, str]) -> None:
        self.where: Final = target.shown
        self._target = target
        self._application = application
        self._settings = settings
        self._connection: Connection | None = None
        self._driver: Driver | None = None
        self._deadline: Deadline | None = None

    def open(self) -> None:
        """Connect. Raises StoreUnavailableError."""
        assert self._driver is None, "the connection is open"
        engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",  # `transaction` begins and ends transactions itself
            hide_parameters=True,  # they contain metadata of users, which must not be logged
            use_native_hstore=False,
            execution_options={"preserve_rowcount": True},  # also of inserts
        )
        with self._closing_on_failure():
            self._connection = engine.connect()
            assert self._deadline is not None
            self._deadline.end()

    @property
    def is_open(self) -> bool:
        """True as long as no error has closed the connection."""
        return self._connection is not None

    @property
    def pid(self) -> int:
        """The process id of the server's side of the connection."""
        assert self._driver is not None, "the connection is closed"
        return self._driver.info.backend_pid

    def close(self) -> None:
        """Close the connection, which frees its locks. Idempotent; does not wait for a dead server."""
        connection, self._connection = self._connection, None
        deadline, self._deadline = self._deadline, None
        driver, self._driver = self._driver, None
        if deadline is not None:
            deadline.close()
        if driver is not None:
            driver.close()
        if connection is not None:
            with suppress(SQLAlchemyError, psycopg.Error):
                connection.invalidate()
                connection.close()

    @contextmanager
    def transaction(
        self, begin: str = WRITE, *, limit_ms: int = DEADLINE_MS
    ) -> Iterator[Connection]:
        """Commit the work within. An error of the database closes the connection; other exceptions roll back.

        Raises StoreUnavailableError.
        """
        connection, driver, deadline = self._opened()
        with self._closing_on_failure(), deadline.call(limit_ms):
            self.begin(driver, begin)
            try:
                yield connection
            except (SQLAlchemyError, psycopg.Error, OSError, StoreUnavailableError):
                raise
            except BaseException:
                driver.execute("ROLLBACK")
                raise
            if driver.execute("COMMIT").statusmessage != "COMMIT":
                raise StoreUnavailableError(f"{self.where}: the server has rolled back")

    def begin(self, driver: Driver, begin: str) -> None:
        """Begin a transaction of *driver*."""
        driver.execute(begin)

    def ask(self, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """Return the first row of the answer to *query*, in a transaction of its own or in the open one."""
        _, driver, deadline = self._opened()
        with self._closing_on_failure(), deadline.call():
            return driver.execute(query, parameters).fetchone()

    def _opened(self) -> tuple[Connection, Driver, Deadline]:
        if self._connection is None or self._driver is None or self._deadline is None:
            raise StoreUnavailableError(f"{self.where}: the connection is closed")
        return self._connection, self._driver, self._deadline

    @contextmanager
    def _closing_on_failure(self) -> Iterator[None]:
        try:
            with database_failures(self.where):
                yield
        except StoreUnavailableError:
            self.close()
            raise

    def _connect(self) -> Driver:
        words: dict[str, Any] = {**LIBPQ, "application_name": self._application}
        if self._target.password is not None:
            words["password"] = self._target.password
        if self._target.has_several_hosts:
            words["target_session_attrs"] = "read-write"
        driver = psycopg.connect(self._target.url, autocommit=True, **words)
        self._driver = driver
        self._deadline = Deadline(driver.fileno())
        self._deadline.begin()
        chosen = dict(self._settings)
        if not driver.info.host.startswith("/"):
            chosen["tcp_user_timeout"] = "10s"
        for name, value in chosen.items():
            driver.execute("SELECT set_config(%s, %s, false)", (name, value))
        return driver


# The statements are SQLite's, whose dialect is imported anyway; PostgreSQL's compiler asks for one name more.


@compiles(OnConflictDoUpdate, "postgresql")
def _do_update(clause: Any, compiler: Any, **words: Any) -> str:
    clause.constraint_target = None
    return str(compiler.visit_on_conflict_do_update(clause, **words))


@compiles(OnConflictDoNothing, "postgresql")
def _do_nothing(clause: Any, compiler: Any, **words: Any) -> str:
    clause.constraint_target = None
    return str(compiler.visit_on_conflict_do_nothing(clause, **words))
