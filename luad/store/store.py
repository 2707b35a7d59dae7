"""The store itself: a folder, a lock, and a database of one of the two backends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from luad.clock import Clock
from luad.config.settings.store_target import Target
from luad.core.events import Record, Restored
from luad.core.model import JSON, SECOND, Instant, RunState
from luad.errors import StoreUnavailableError
from luad.store import (
    gone_rows,
    log_chunks,
    queries,
    record_writes,
    retention,
    run_pages,
)
from luad.store.api_access import Access
from luad.store.backend import Backend
from luad.store.columns import cleaned, to_text
from luad.store.file_snapshot import FileSnapshot
from luad.store.history import History
from luad.store.kept_rows import KeptRows
from luad.store.messages import Messages
from luad.store.migration_progress import Report, say_nothing
from luad.store.query_types import (
    Attempt,
    GoneJob,
    LogLine,
    Pruned,
    RecentRun,
    Retention,
    Revision,
    RunFilter,
    RunRow,
)
from luad.store.resumed_runs import resumed_by
from luad.store.sqlite.embedded import Embedded
from luad.store.state_folder import DATABASE, StateLock
from luad.store.stored_users import StoredUsers
from luad.store.transactions import Transactions
from luad.store.web_access import WebAccess

COUNT_SERVES: Final = 100

EVERYTHING: Final = RunFilter()
SEEN_EVERY_MS: Final = SECOND


class Store:
    """The store of a daemon. Each public method is one transaction.

    Methods that write or read are coroutines; the store's own threads do the work. They raise
    StoreUnavailableError if the database cannot be written or read at the moment: nothing was written, and the
    caller may repeat the call.

    *quarantined*: the new path of a damaged database, None if it was sound; *problem*: its damage.
    """

    def __init__(self, lock: StateLock, backend: Backend, *, clock: Clock) -> None:
        self.path: Final = lock.path.with_name(DATABASE)
        self.where: Final = backend.where
        self.quarantined: Final = backend.quarantined
        self.problem: Final = backend.problem
        self._lock = lock
        self._backend = backend
        self._clock = clock
        # Nothing else may keep it: it has a row of every job.
        self._restored, backend.restored = backend.restored, None
        self._seen_at: Instant | None = None
        self._pass: retention.Pass | None = None
        self._row_count: tuple[int, int] | None = None  # and until when it is good, elapsed
        self._is_closed = False
        backend.begin(self._note_alive_at_commit)
        self._transactions = Transactions(backend)
        self.messages: Final = Messages(self._transactions)
        self.users: Final = StoredUsers(self._transactions)
        self.files: Final = FileSnapshot(self._transactions)
        self.access: Final = Access(self._transactions)
        self.history: Final = History(self._transactions)
        self._rows = KeptRows()
        self.web: Final = WebAccess(self._transactions)

    # --- opening and closing ---

    @classmethod
    def open(cls, state_dir: Path, *, clock: Clock, report: Report = say_nothing) -> Store:
        """Lock *state_dir* and open its database; create both if they do not exist.

        luad sets a damaged database aside and creates a new one (`quarantined`). It copies and migrates a database
        of an older luad, and *report* gets the log lines. Raises AlreadyRunningError, StoreTooNewError,
        StoreUnavailableError.
        """
        path = state_dir.absolute() / DATABASE
        return cls._locked(state_dir, clock, lambda lock: Embedded(path, lock, clock, report))

    @classmethod
    def open_shared(
        cls,
        state_dir: Path,
        target: Target,
        *,
        node: str,
        clock: Clock,
        report: Report = say_nothing,
    ) -> Store:
        """Lock *state_dir*, and open the PostgreSQL store of *target* as its only node.

        Raises AlreadyRunningError if another node has the store, else as `open`.
        """
        try:
            from luad.store.postgresql.shared import Shared  # noqa: PLC0415 - needs an extra
        except ModuleNotFoundError as error:
            raise StoreUnavailableError(
                f"a store in PostgreSQL needs {error.name}", hint="pip install '.[cluster]'"
            ) from error

        return cls._locked(state_dir, clock, lambda _: Shared(target, node, report))

    @classmethod
    def _locked(
        cls, state_dir: Path, clock: Clock, open_backend: Callable[[StateLock], Backend]
    ) -> Store:
        lock = StateLock.take(state_dir.absolute())
        try:
            return cls(lock, open_backend(lock), clock=clock)
        except BaseException:
            lock.give_up()
            raise

    def close(self) -> None:
        """Do the waiting writes, close the database, and unlock the folder. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._transactions.refuse()
        self._backend.close()
        self._lock.release()

    def check_identity(self) -> bool:
        """Return False once this is not the opened database any more; then luad writes nothing more.

        If luad cannot find out, it returns True, and the next write fails with the reason.
        """
        return self._backend.check_identity()

    def keep_lock(self) -> bool | None:
        """Create the lock file again if it was deleted; see `StateLock.keep`."""
        return self._lock.keep()

    # --- writing ---

    async def apply(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Write *records*, in order, in one durable transaction, and return the ids of refused rows.

        A claim or a skip is refused if its occurrence already has a row. A batch that the daemon repeats after a
        StoreUnavailableError is not refused.
        """
        if not records:
            return ()
        batch = tuple(records)
        self._restored = None  # the state from the opening is outdated now

        def work(connection: Connection) -> tuple[str, ...]:
            return record_writes.write(connection, batch, self._clock.now().wall)

        return await self._transactions.write(work)

    def note_alive(self, now: Instant) -> None:
        """Queue a write that the daemon was alive at *now*, and return at once."""
        with suppress(StoreUnavailableError):
            self._transactions.write_later(lambda connection: record_writes.see(connection, now))

    def _note_alive_at_commit(self, connection: Connection) -> None:
        now = self._clock.now().wall
        if self._seen_at is None or abs(now - self._seen_at) >= SEEN_EVERY_MS:
            record_writes.see(connection, now)
            self._seen_at = now

    async def append_logs(self, run_id: str, lines: Sequence[Mapping[str, JSON]]) -> None:
        """Append *lines* to the log of a run; drop lines of a run without a row.

        Urgent writes go first. A power failure may lose the last lines, a crash does not.
        """
        await self.append_logs_of([(run_id, lines)])

    async def append_logs_of(
        self, found: Sequence[tuple[str, Sequence[Mapping[str, JSON]]]]
    ) -> None:
        """Do the same for the lines of several runs, in one write."""
        now = self._clock.now().wall
        chunks: list[dict[str, Any]] = []
        for run_id, lines in found:
            for chunk in log_chunks.chunks_of(to_text(run_id), lines, now):
                if chunks:
                    await asyncio.sleep(0)  # a chunk takes milliseconds, and runs are due
                chunks.append(chunk)
        if not chunks:
            return
        future = self._backend.submit(
            lambda connection: log_chunks.append(connection, chunks),
            is_urgent=False,
            weight=sum(each["b_byte_count"] for each in chunks),
        )
        await asyncio.wrap_future(future)

    async def prune(
        self,
        now: Instant,
        *,
        history_ms: int,
        runs_per_job: int,
        logs_ms: int,
        slice_size: int = 500,
    ) -> Pruned:
        """Do one slice of retention; call again until `is_done`, but never twice at once.

        A slice takes some milliseconds and at most *slice_size* rows, because other writes wait for it. The beginning
        of a pass decides which rows it removes.
        """
        if self._pass is None:
            wanted = Retention(history_ms, runs_per_job, logs_ms)
            found = await self._transactions.read(
                lambda connection: retention.survey(connection, now, wanted)
            )
            self._pass = retention.Pass(
                now, wanted, found, slice_size, lambda: self._clock.now().elapsed
            )
        under_way = self._pass

        def step(connection: Connection) -> Pruned:
            self.access.trail.forget()
            return under_way.step(connection)

        try:
            await self._backend.before_bulk()
            future = self._backend.submit(step, is_urgent=False)
            future.add_done_callback(lambda _: under_way.committed())  # in the writer's thread
            slice_done = await asyncio.wrap_future(future)
        except BaseException:
            self._pass = None
            raise
        if slice_done.is_done:
            self._pass = None
        await self._backend.after_bulk(slice_done.pages, is_done=slice_done.is_done)
        return slice_done

    # --- start-up ---

    def restore(self) -> Restored:
        """Return the installed jobs, the open runs, and the instant when the last daemon was alive.

        It is not a coroutine, because the daemon calls it at its start.
        """
        restored, self._restored = self._restored, None
        return restored if restored is not None else self._transactions.ask(queries.restored)

    # --- reading ---

    async def runs(
        self,
        wanted: RunFilter = EVERYTHING,
        *,
        limit: int = 50,
        cursor: str | None = None,
        offset: int = 0,
    ) -> tuple[list[RunRow], str | None]:
        """Return a page of the history, newest first, and the cursor of the next page, if any.

        A cursor stays valid while rows come and go; *offset*, a number of rows to skip, does not. Raises UsageError for
        a text that is not a cursor.
        """
        return await self._transactions.read(
            lambda connection: run_pages.page(connection, cleaned(wanted), limit, cursor, offset)
        )

    async def run(self, name: str, *, job: str | None = None) -> RunRow:
        """Return the run of an id, the beginning of an id, `@last` or `@last-failed` (of *job*).

        Raises NotFoundError, and ConflictError (`ambiguous`) if several ids begin with *name*.
        """
        return await self._transactions.read(
            lambda connection: queries.find_run(
                connection, to_text(name), None if job is None else to_text(job)
            )
        )

    async def attempts(self, run_id: str) -> list[Attempt]:
        """Return the attempts of a run, the first one first. Raises NotFoundError."""
        return await self._transactions.read(
            lambda connection: queries.attempts_of(
                connection, queries.find_run(connection, to_text(run_id), None)
            )
        )

    async def recent_runs(self, job_ids: Iterable[str], n: int) -> dict[str, tuple[RecentRun, ...]]:
        """Return the last *n* rows of each installed job, oldest first; jobs without rows are left out."""
        ids = [to_text(each) for each in job_ids]
        return await self._transactions.read(
            lambda connection: self._rows.recent_runs(connection, ids, n)
        )

    async def last_runs(self, job_ids: Iterable[str]) -> dict[str, RecentRun]:
        """Return the newest run of each installed job, without skipped and missed rows."""
        ids = [to_text(each) for each in job_ids]
        return await self._transactions.read(lambda connection: queries.last_runs(connection, ids))

    async def resumed_by(self, rows: Sequence[RunRow]) -> dict[str, list[str]]:
        """Return, by skip row of a pause among *rows*, the runs that a resume started for it."""
        return await self._transactions.read(lambda connection: resumed_by(connection, rows))

    async def created_jobs(self, run_id: str) -> list[str]:
        """Return the names of the jobs that a run created, also of removed ones."""
        return await self._transactions.read(
            lambda connection: queries.created_jobs(connection, to_text(run_id))
        )

    async def earlier_id(self, name: str, job_id: str) -> str | None:
        """Return the id of the newest removed job of that name, other than *job_id*."""
        return await self._transactions.read(
            lambda connection: gone_rows.earlier_id(connection, to_text(name), to_text(job_id))
        )

    async def gone_job(self, name: str) -> GoneJob | None:
        """Return the removed job of that id, or the newest one of that name."""
        return await self._transactions.read(
            lambda connection: gone_rows.find_gone(connection, to_text(name))
        )

    async def job_revisions(self, job_id: str) -> list[Revision]:
        """Return the revisions of a job, latest installed first."""
        return await self._transactions.read(
            lambda connection: queries.revisions_of(connection, to_text(job_id))
        )

    async def read_logs(
        self,
        run_id: str,
        *,
        tail: int | None = None,
        after_seq: int | None = None,
        level: str | None = None,
    ) -> list[LogLine]:
        """Return lines of a run after *after_seq*, at least of *level*, and of these the last *tail*."""
        return await self._transactions.read(
            lambda connection: log_chunks.read(
                connection, to_text(run_id), tail=tail, after_seq=after_seq, level=level
            )
        )

    async def read_runs_logs(
        self, wanted: RunFilter = EVERYTHING, *, tail: int = 100, level: str | None = None
    ) -> list[LogLine]:
        """Return the last *tail* lines of the runs that match *wanted*, run after run."""
        return await self._transactions.read(
            lambda connection: log_chunks.read_runs(
                connection, cleaned(wanted), tail=tail, level=level
            )
        )

    async def counts(self) -> dict[RunState, int]:
        """Return the number of rows in each state."""
        return await self._transactions.read(queries.counts)

    async def run_count(self) -> int:
        """Return the number of rows of the history, which may be slightly out of date.

        Counting a million rows takes a while, so the result is reused for a hundred times that long.
        """
        began = self._clock.now().elapsed
        if self._row_count is None or began >= self._row_count[1]:
            count = await self._transactions.read(queries.run_count)
            now = self._clock.now().elapsed
            self._row_count = count, now + COUNT_SERVES * (now - began)
        return self._row_count[0]

    def size_bytes(self) -> int:
        """Return the size on disk in bytes, with the WAL."""
        return self._backend.size_bytes()

    @property
    def is_writable(self) -> bool:
        """True if the last write succeeded and the file is still there."""
        return not self.last_error and self.check_identity()

    @property
    def last_error(self) -> str:
        """The error of the last failed write; empty once a write has succeeded again."""
        return self._backend.last_error
