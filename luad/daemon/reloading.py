"""Reads job and user files after a change, and merges requests to do so.

A notification of the kernel, SIGHUP and `luad reload` all request a reading. Requests that arrive during a
reading are merged into the next one.

Rule: this module reads (in a thread) and compares; the engine decides which jobs are installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from luad.clock import Clock
from luad.config.jobs.catalogue import Catalogue, Loaded
from luad.config.users.user_file import LoadedUsers, UserCatalogue
from luad.core.events import Reply
from luad.core.model import Instant, Wanted
from luad.errors import Problem, Severity
from luad.watcher import Snapshot, SnapshotReader

if TYPE_CHECKING:
    from luad.config.settings.daemon_settings import Settings

_MIN_RECHECK_S: Final = 0.05
_MIN_RESCAN_S: Final = 1.0

Answer = asyncio.Future[Reply]


@dataclass(frozen=True, slots=True)
class Reading:
    """One complete reading of the job folders. *problems* include those of the folders."""

    at: Instant
    loaded: Loaded
    problems: tuple[Problem, ...]
    file_count: int
    recheck_in_ms: int | None
    is_news: bool
    """True if a job, a place or a problem differs from the previous reading."""
    serial: int
    users: LoadedUsers

    @property
    def error_count(self) -> int:
        """The number of problems that are errors."""
        return sum(each.severity is Severity.ERROR for each in self.problems)


class UserReader:
    """Reads the user folders, and keeps the last good version of every file.

    A user folder need not exist, so each reading looks for the folders again.
    """

    def __init__(self, settings: Settings, make_snapshots: Callable[[], SnapshotReader]) -> None:
        self._settings = settings
        self._make_snapshots = make_snapshots
        self._snapshots = make_snapshots()
        self._catalogue = UserCatalogue(settings.max_file_size)

    def copy(self) -> UserReader:
        """Return an independent copy, for a dry run."""
        twin = UserReader(self._settings, self._make_snapshots)
        twin._catalogue = self._catalogue.copy()
        return twin

    def read(self, now: Instant, *, is_settled: bool) -> tuple[LoadedUsers, int | None]:
        """Return the users, and the milliseconds after which files that still change are read again."""
        there = [each for each in self._settings.users if each.is_dir()]
        if there != list(self._snapshots.folders):
            self._snapshots = self._make_snapshots()
        snapshot = self._snapshots.read(now, is_settled=is_settled)
        loaded = self._catalogue.update(
            snapshot.files, unread=snapshot.unread, unconfirmed=snapshot.unconfirmed
        )
        return replace(loaded, problems=snapshot.problems + loaded.problems), snapshot.recheck_in_ms


class ConfigReader:
    """Reads the folders into jobs and problems, and keeps the last good version of every file.

    *places* returns the problems of settings, handlers and state folder. *names* returns a problem for
    each job that names a handler file that is never imported.
    """

    def __init__(
        self,
        snapshots: SnapshotReader,
        catalogue: Catalogue,
        clock: Clock,
        users: UserReader,
        places: Callable[[], tuple[Problem, ...]] = tuple,
        names: Callable[[Mapping[str, Wanted]], tuple[Problem, ...]] = lambda _: (),
    ) -> None:
        self._snapshots = snapshots
        self._catalogue = catalogue
        self._clock = clock
        self._users = users
        self._places = places
        self._names = names
        self._last: tuple[object, ...] | None = None
        self._serial = 0
        self._lock = threading.Lock()

    def dry_run(self, snapshots: SnapshotReader) -> Reading:
        """Return what a requested reload would read, and change nothing; callable in any thread."""
        with self._lock:
            catalogue, users = self._catalogue.copy(), self._users.copy()
        reader = ConfigReader(snapshots, catalogue, self._clock, users, self._places, self._names)
        return reader.read(is_settled=True)

    def read(self, *, is_settled: bool = False) -> Reading:
        """Read now. *is_settled*: accept files even if they changed a moment ago."""
        with self._lock:
            return self._read(is_settled=is_settled)

    def _read(self, *, is_settled: bool) -> Reading:
        now = self._clock.now().wall
        must_collect = gc.isenabled()
        gc.disable()  # a load makes many objects but no garbage; collection would double its time
        try:
            snapshot: Snapshot = self._snapshots.read(now, is_settled=is_settled)
            loaded = self._catalogue.update(
                snapshot.files, unread=snapshot.unread, unconfirmed=snapshot.unconfirmed
            )
            users, user_recheck_ms = self._users.read(now, is_settled=is_settled)
        finally:
            if must_collect:
                gc.enable()
        problems = self._places() + snapshot.problems + loaded.problems
        problems += self._names(loaded.wanted)
        rechecks = [each for each in (snapshot.recheck_in_ms, user_recheck_ms) if each is not None]
        essence = (loaded.wanted, problems, users)
        is_news, self._last = essence != self._last, essence
        self._serial += 1
        return Reading(
            now,
            loaded,
            problems,
            len(snapshot.files),
            min(rechecks, default=None),
            is_news,
            self._serial,
            users,
        )


class Reloader:
    """Merges all requests for a reload into readings, one at a time.

    *apply* gets each reading that is new or was asked for, and returns a future for the engine's reply.
    *on_failure* gets each unexpected exception; the clients that asked get it as well.
    """

    def __init__(
        self,
        reader: ConfigReader,
        apply: Callable[[Reading], Answer],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._reader = reader
        self._apply = apply
        self._on_failure = on_failure
        self._requested = asyncio.Event()
        self._asking: list[asyncio.Future[tuple[Reading, Answer]]] = []
        self._must_settle = False
        self._recheck: asyncio.TimerHandle | None = None

    def request(self) -> None:
        """Ask for a reading soon, because a file may have changed."""
        self._requested.set()

    def ask(self) -> asyncio.Future[tuple[Reading, Answer]]:
        """Read and apply now, even if nothing has changed; return a future for both results."""
        future: asyncio.Future[tuple[Reading, Answer]]
        future = asyncio.get_running_loop().create_future()
        self._asking.append(future)
        self._must_settle = True
        self._requested.set()
        return future

    async def run(self, rescan_s: float | None) -> None:
        """Serve requests until cancelled; read at least every *rescan_s* seconds, None for never."""
        patience_s = None if rescan_s is None else max(_MIN_RESCAN_S, rescan_s)
        while True:
            with contextlib.suppress(TimeoutError):  # a notification may have been lost
                await asyncio.wait_for(self._requested.wait(), patience_s)
            self._requested.clear()
            asking, self._asking = self._asking, []
            is_settled, self._must_settle = self._must_settle, False
            try:
                await self._serve(asking, is_settled=is_settled)
            except Exception as error:  # noqa: BLE001 - the next reading may go well again
                self._on_failure(error)
                for future in asking:
                    if not future.done():
                        future.set_exception(error)

    async def _serve(
        self, asking: list[asyncio.Future[tuple[Reading, Answer]]], *, is_settled: bool
    ) -> None:
        reading = await asyncio.to_thread(self._reader.read, is_settled=is_settled)
        self.recheck_after(reading)
        if not (reading.is_news or asking):
            return
        answer = self._apply(reading)
        for future in asking:
            if not future.done():
                future.set_result((reading, answer))

    def recheck_after(self, reading: Reading) -> None:
        """Schedule another reading, for files that had just changed at *reading*."""
        if self._recheck is not None:
            self._recheck.cancel()
            self._recheck = None
        if reading.recheck_in_ms is not None:
            delay_s = max(_MIN_RECHECK_S, reading.recheck_in_ms / 1_000)
            self._recheck = asyncio.get_running_loop().call_later(delay_s, self._requested.set)


def log_fields(problem: Problem) -> dict[str, str]:
    """Return a problem as the fields of its log line."""
    place = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
    fields = {"place": place, "code": problem.code, "message": problem.message}
    return fields | {"help": problem.help} if problem.help else fields
