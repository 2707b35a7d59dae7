"""What a PostgreSQL store does when connections end, servers stop and locks are taken.

The second server of a test is its own: it is stopped, frozen, and cut off.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from postgres import Server, empty, own_server

from luad.clock import SystemClock, elapsed_ms
from luad.config.settings.store_target import Target
from luad.core.events import ClaimRun, InstallJob
from luad.core.model import Interval, Job, Run, Trigger
from luad.errors import AlreadyRunningError, StoreTooNewError, StoreUnavailableError
from luad.store import Store, StoreReplacedError
from luad.store.migration_progress import say_nothing
from luad.store.postgresql.connect import Link
from luad.store.postgresql.deadline import Deadline
from luad.store.postgresql.faults import SharedBackendError
from luad.store.postgresql.opening import prepare_store, refuse_pooler
from luad.store.postgresql.session import LockKind, Session
from luad.store.postgresql.shared import Shared

NOW = 1_800_000_000_000


def claim(number: int) -> ClaimRun:
    return ClaimRun(
        Run(
            id=f"run_{number:026d}",
            job_name="backup",
            job_id="job_backup",
            revision="r1",
            trigger=Trigger.SCHEDULE,
            scheduled_for=NOW + number,
            fire_at=NOW + number,
            claimed_at=NOW + number,
        )
    )


INSTALL = InstallJob("job_backup", Job("backup", "m:f", Interval(1_000), "r1"), None, NOW)


@pytest.fixture
def url(postgres_url: str) -> str:
    prepare_store(Target.parse(postgres_url), "preparing", say_nothing)
    empty(postgres_url)
    return postgres_url


@pytest.fixture
def open_store(url: str, tmp_path: Path) -> Callable[..., Store]:
    def make(where: str = "state", *, node: str = "one", at: str = url) -> Store:
        target = Target.parse(at)
        return Store.open_shared(tmp_path / where, target, node=node, clock=SystemClock())

    return make


async def until_written(store: Store, *records: Any) -> tuple[str, ...]:
    """Repeat a batch as the daemon does, until it is written."""
    while True:
        try:
            return await store.apply(records)
        except StoreUnavailableError:
            await asyncio.sleep(0.05)


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def end_session(url: str) -> None:
    """End the server's side of the session of node `one`."""
    found = ask(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'luad one'",
    )
    assert found == [(True,)]


# --- one owner -----------------------------------------------------------------------------------


def test_a_second_node_is_refused_and_names_the_first(open_store: Callable[..., Store]) -> None:
    first = r"another node runs on .*127\.0\.0\.1 \(luad one\)"
    with closing(open_store()), pytest.raises(AlreadyRunningError, match=first):
        open_store("other", node="two")
    open_store("other", node="two").close()


def test_a_second_node_of_the_same_name_is_refused(
    url: str, open_store: Callable[..., Store]
) -> None:
    holder = r"the name `one` is taken .*127\.0\.0\.1"
    with closing(open_store()), pytest.raises(AlreadyRunningError, match=holder):
        Shared(Target.parse(url), "one", say_nothing, wait_ms=0)


async def test_a_node_that_was_replaced_writes_nothing_more(
    url: str, open_store: Callable[..., Store]
) -> None:
    with closing(open_store()) as first:
        await first.apply([INSTALL])
        # The session ends, and before it is back another node comes and goes.
        work = asyncio.ensure_future(first._transactions.write(lambda _: end_session(url)))
        with pytest.raises(StoreUnavailableError):
            await work
        first._backend._urgent._next_try_at = elapsed_ms() + 60_000
        open_store("other", node="two").close()
        first._backend._urgent._next_try_at = 0
        with pytest.raises(StoreReplacedError):
            await until_refused(first, "another node has owned")
        assert not first.check_identity()
        assert not first.is_writable
    assert ask(url, "SELECT count(*) FROM runs") == [(0,)]


# --- rows 5 and 6: a turn that fails, a commit whose answer is lost --------------------------------


async def test_what_a_cut_transaction_wrote_is_gone_and_its_repetition_is_written(
    url: str, open_store: Callable[..., Store]
) -> None:
    with closing(open_store()) as store:
        await store.apply([INSTALL])

        def cut(connection: Any) -> None:
            connection.exec_driver_sql("DELETE FROM jobs")
            end_session(url)
            connection.exec_driver_sql("SELECT 1")

        with pytest.raises(StoreUnavailableError):
            await store._transactions.write(cut)
        assert await until_written(store, claim(1)) == ()
        assert len(store.restore().jobs) == 1
    assert ask(url, "SELECT id FROM runs") == [(claim(1).run.id,)]


async def test_a_claim_whose_commit_was_not_answered_is_not_refused_when_it_is_repeated(
    url: str, open_store: Callable[..., Store]
) -> None:
    with cut_off_after_commit(url) as proxy, closing(open_store(at=proxy.url)) as store:
        await store.apply([INSTALL])
        proxy.cut_after_next_commit()
        with pytest.raises(StoreUnavailableError):
            await store.apply([claim(1)])
        assert proxy.cuts == 1
        assert ask(url, "SELECT count(*) FROM runs") == [(1,)], "the commit itself arrived"
        assert await until_written(store, claim(1)) == ()
    assert ask(url, "SELECT count(*) FROM runs") == [(1,)]


async def test_one_bad_row_does_not_fail_the_others_of_its_commit(
    open_store: Callable[..., Store],
) -> None:
    with closing(open_store()) as store:
        await store.apply([INSTALL])
        hold = threading.Event()
        first = asyncio.ensure_future(store._transactions.write(lambda _: hold.wait(30)))
        bad = asyncio.ensure_future(
            store._transactions.write(lambda c: c.exec_driver_sql("INSERT INTO runs VALUES (1)"))
        )
        good = [asyncio.ensure_future(store.apply([claim(number)])) for number in range(3)]
        await asyncio.sleep(0)
        hold.set()
        await first
        with pytest.raises(StoreUnavailableError):
            await bad
        assert await asyncio.gather(*good) == [(), (), ()]
        assert await store.run_count() == 3


# --- row 10: full, read-only, locked ----------------------------------------------------------------


async def test_a_read_only_database_is_written_again_once_it_may_be(
    url: str, open_store: Callable[..., Store]
) -> None:
    name = urlsplit(url).path[1:]
    with closing(open_store()) as store:
        await store.apply([INSTALL])
        ask_nothing(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        end_session(url)
        with pytest.raises(StoreUnavailableError, match="read-only"):
            await until_refused(store, "read-only")
        assert "read-only" in store.last_error
        ask_nothing(url, f"ALTER DATABASE {name} RESET default_transaction_read_only")
        assert await until_written(store, claim(1)) == ()
        assert store.is_writable


async def until_refused(store: Store, words: str) -> None:
    """Try to claim until the database refuses it with *words*."""
    while True:
        try:
            await store.apply([claim(1)])
        except StoreUnavailableError as error:
            if words in error.message:
                raise
            await asyncio.sleep(0.05)


def ask_nothing(url: str, command: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(command)


# --- rows 7, 11 and 14: stopped servers, hanging commits, silence ----------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


async def test_a_stopped_server_is_used_again_when_it_is_back(
    server: Server, open_store: Callable[..., Store]
) -> None:
    with closing(open_store(at=server.url)) as store:
        await store.apply([INSTALL])
        server.stop("immediate")
        with pytest.raises(StoreUnavailableError):
            await store.apply([claim(1)])
        with pytest.raises(StoreUnavailableError):
            await store.counts()
        server.start()
        assert await until_written(store, claim(1)) == ()
        assert await store.run_count() == 1


async def test_a_commit_that_waits_for_a_standby_fails_at_the_deadline_and_frees_nothing_early(
    server: Server,
) -> None:
    target = Target.parse(server.url)
    space = prepare_store(target, "one", say_nothing)
    ask_nothing(server.url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    ask(server.url, "SELECT pg_reload_conf()")
    with (
        closing(Session(target, node="one", lock_space=space)) as first,
        closing(Session(target, node="two", lock_space=space)) as second,
    ):
        first.open()
        second.open()
        assert first.try_lock(LockKind.SHARD, 7)
        # Another process of the server turns the waiting on, a moment after the reload is asked for.
        assert await eventually(lambda: is_given_up(first))
        assert not first.is_open
        # The backend that waits for the standby holds the lock as long as it lives.
        assert not second.try_lock(LockKind.SHARD, 7)
        ask_nothing(server.url, "ALTER SYSTEM RESET synchronous_standby_names")
        ask(server.url, "SELECT pg_reload_conf()")
        assert await eventually(lambda: second.try_lock(LockKind.SHARD, 7))
        assert ask(server.url, "SELECT value FROM meta WHERE key = 'a'") == [("b",)]


def is_given_up(session: Session) -> bool:
    """Tell whether a commit of the session is given up at its deadline."""
    try:
        with session.transaction(limit_ms=1_000) as connection:
            connection.exec_driver_sql(
                "INSERT INTO meta (key, value) VALUES ('a', 'b')"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            )
    except StoreUnavailableError:
        return True
    return False


async def eventually(question: Callable[[], bool]) -> bool:
    for _ in range(1_000):
        if question():
            return True
        await asyncio.sleep(0.05)
    return False


def test_a_silent_server_is_given_up_at_the_deadline(server: Server) -> None:
    with closing(Link(Target.parse(server.url), "silent", {})) as link:
        link.open()
        server.freeze()
        with (
            pytest.raises(StoreUnavailableError),
            link.transaction("SELECT 1", limit_ms=100),
        ):
            pass
        assert not link.is_open
        server.thaw()


def test_a_deadline_shuts_down_only_what_is_late() -> None:
    left, right = socket.socketpair()
    with left, right, closing(Deadline(left.fileno())) as deadline:
        with deadline.call(60_000):
            right.sendall(b"in time")
            assert left.recv(10) == b"in time"
        with deadline.call(0):
            assert left.recv(10) == b""


# --- row 33: poolers --------------------------------------------------------------------------------


def test_a_shared_backend_is_found_before_anything_is_written(url: str) -> None:
    target = Target.parse(url)
    space = prepare_store(target, "one", say_nothing)
    with closing(Session(target, node="one", lock_space=space)) as session:
        session.open()
        session.ask("SELECT set_config('luad.session', 'of another client', false)")
        with pytest.raises(SharedBackendError), session.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM shards")
        assert not session.is_open
    assert ask(url, "SELECT count(*) FROM shards") == [(64,)]


def test_two_connections_with_one_server_process_are_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_pooler(Target.parse(url), "one")
    monkeypatch.setattr(Link, "ask", lambda *_: (4711,))
    with pytest.raises(SharedBackendError, match="a pooler in transaction mode"):
        refuse_pooler(Target.parse(url), "one")


# --- locks and schema -------------------------------------------------------------------------------


def test_locks_end_with_their_session(url: str) -> None:
    target = Target.parse(url)
    space = prepare_store(target, "one", say_nothing)
    first = Session(target, node="one", lock_space=space)
    with closing(Session(target, node="two", lock_space=space)) as second:
        first.open()
        second.open()
        assert first.try_lock(LockKind.SHARD, 3)
        assert first.own_shards() == {3}
        assert not second.try_lock(LockKind.SHARD, 3)
        assert second.holder(LockKind.SHARD, 3) == "127.0.0.1 (luad one)"
        assert second.holder(LockKind.NAME, "x") is None
        first.unlock(LockKind.SHARD, 3)
        assert second.try_lock(LockKind.SHARD, 3)
        assert first.try_lock(LockKind.NAME, "one")
        assert second.holder(LockKind.NAME, "one") == "127.0.0.1 (luad one)"
        first.close()
        while second.holder(LockKind.NAME, "one") is not None:
            pass


def test_two_nodes_that_start_at_once_create_one_schema(server: Server) -> None:
    target = Target.parse(server.url)
    spaces: list[int] = []
    both = [
        threading.Thread(target=lambda: spaces.append(prepare_store(target, "n", say_nothing)))
        for _ in range(3)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(spaces) == 3
    assert len(set(spaces)) == 1


def test_a_newer_schema_is_refused_unless_it_permits_this_luad(url: str) -> None:
    target = Target.parse(url)
    ask_nothing(url, "UPDATE alembic_version SET version_num = '9999'")
    try:
        prepare_store(target, "one", say_nothing)
        ask_nothing(url, "UPDATE meta SET value = '9999' WHERE key = 'compatible_from'")
        with pytest.raises(StoreTooNewError, match="a newer luad"):
            prepare_store(target, "one", say_nothing)
    finally:
        ask_nothing(url, "DROP SCHEMA public CASCADE")
        ask_nothing(url, "CREATE SCHEMA public")


# --- a proxy ----------------------------------------------------------------------------------------


class CommitProxy:
    """Hands bytes to a server and back, and ends a connection instead of handing back the answer to a COMMIT."""

    def __init__(self, url: str) -> None:
        self._to = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(urlsplit(url)._replace(netloc=f"postgres@127.0.0.1:{port}"))
        self.cuts = 0
        self._is_armed = False
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def cut_after_next_commit(self) -> None:
        self._is_armed = True

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _begin(self, work: Callable[..., None], *words: Any) -> None:
        thread = threading.Thread(target=work, args=words, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._to)
                self._sockets += [client, server]
                cut = threading.Event()
                self._begin(self._to_server, client, server, cut)
                self._begin(self._to_client, server, client, cut)

    def _to_server(
        self, client: socket.socket, server: socket.socket, cut: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if self._is_armed and b"COMMIT\0" in data:
                    self._is_armed = False
                    cut.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _to_client(
        self, server: socket.socket, client: socket.socket, cut: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if cut.is_set():  # the server has answered, and nobody hears it
                    self.cuts += 1
                    break
                client.sendall(data)
            for each in (client, server):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_off_after_commit(url: str) -> Iterator[CommitProxy]:
    proxy = CommitProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
