"""Reads job and user files, and keeps the last good version of each.

Rule: this module reads and compares, in any thread but one at a time; it decides nothing about jobs in force.
"""

from __future__ import annotations

import gc
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from luad.clock import Clock
from luad.config.jobs.catalogue import Catalogue
from luad.config.jobs.checked_jobs import check_of
from luad.config.jobs.last_good import FileChanges
from luad.config.users.user_file import LoadedUsers, UserCatalogue
from luad.core.model import Instant, Wanted
from luad.errors import Problem, Severity
from luad.store.columns import to_json
from luad.store.file_snapshot import StoredFile
from luad.watcher import FileVersion, Hints, KeptFile, Snapshot, SnapshotReader

if TYPE_CHECKING:
    from luad.config.settings.daemon_settings import Settings


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the job folders. *problems* include those of the folders.

    *items* are the jobs that differ from the previous reading, by name, None for a job that is not wanted
    any more. *wanted* are all jobs at the first reading, else nothing. *stale* are the broken files whose last
    good version is in force.
    """

    at: Instant
    items: Mapping[str, Wanted | None]
    wanted: Mapping[str, Wanted]
    problems: tuple[Problem, ...]
    stale: tuple[str, ...]
    file_count: int
    recheck_in_ms: int | None
    is_news: bool
    """True if a job, a place or a problem differs from the previous reading."""
    serial: int
    users: LoadedUsers
    to_save: tuple[StoredFile, ...] = ()
    """The files to keep in the store, once the jobs are in force."""
    to_drop: tuple[str, ...] = ()
    """The files to remove from the store."""

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
        self._loaded: LoadedUsers | None = None
        self._unconfirmed: Mapping[str, object] = {}

    def copy(self) -> UserReader:
        """Return an independent copy, for a dry run."""
        twin = UserReader(self._settings, self._make_snapshots)
        twin._catalogue = self._catalogue.copy()
        return twin

    def read(
        self, now: Instant, *, is_settled: bool = False, hints: Hints = None
    ) -> tuple[LoadedUsers, int | None]:
        """Return the users, and the milliseconds after which files that still change are read again."""
        there = [each for each in self._settings.users if each.is_dir()]
        if there != list(self._snapshots.folders):
            self._snapshots, self._loaded = self._make_snapshots(), None
        if self._loaded is None or hints is None:
            snapshot = self._snapshots.read(now, is_settled=is_settled)
        else:
            snapshot = self._snapshots.look(hints, now)
        return self._load(snapshot), snapshot.recheck_in_ms

    def _load(self, snapshot: Snapshot) -> LoadedUsers:
        is_same = not snapshot.changed and not snapshot.gone
        if self._loaded is None or not is_same or snapshot.unconfirmed != self._unconfirmed:
            self._unconfirmed = snapshot.unconfirmed
            self._loaded = self._catalogue.update(
                snapshot.files, unread=snapshot.unread, unconfirmed=snapshot.unconfirmed
            )
        if not snapshot.problems:
            return self._loaded
        return replace(self._loaded, problems=snapshot.problems + self._loaded.problems)


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
        self._files: FileChanges[Wanted] | None = None  # the latest; None before the first reading
        self._is_fresh = True  # no snapshot was taken over yet
        self._has_snapshot = False  # of the previous daemon
        self._changed: dict[str, FileVersion] = {}  # not taken over by the catalogue yet
        self._gone: set[str] = set()
        self._around: tuple[tuple[Problem, ...], tuple[Problem, ...]] = (), ()  # places and names
        self._last: tuple[object, ...] | None = None  # what the last delivered reading told
        self._newest: tuple[object, ...] | None = None  # what the last reading told
        self._serial = 0
        self._delivered = -1  # the serial of the last reading that was delivered
        self._lock = threading.Lock()

    def restore(self, files: Iterable[StoredFile]) -> None:
        """Take *files* as read before; call this once, before the first reading."""
        for each in files:
            if self._catalogue.restore(each.path, each.key, each.jobs):
                kept = KeptFile(each.status, each.key, each.shape, each.gid)
                self._snapshots.restore(self._catalogue.same_path(each.path), kept)
                self._has_snapshot = True

    def _to_keep(self) -> tuple[tuple[StoredFile, ...], tuple[str, ...]]:
        """Return the files that were read and whose jobs are all wanted, and the paths of the others."""
        saved, dropped = [], []
        for path, kept in self._snapshots.take_touched().items():
            count = self._catalogue.counts(path) if kept is not None else None
            if kept is None or count is None:
                dropped.append(path)
            else:
                saved.append(StoredFile(path, *kept, count, self._checks(path)))
        return tuple(saved), tuple(dropped)

    def _checks(self, path: str) -> bytes:
        jobs = (item.job for item in self._catalogue.items_of(path))
        found = (check_of(each.name, each.revision, to_json(each.definition)) for each in jobs)
        return array("I", found).tobytes()

    def dry_run(self, snapshots: SnapshotReader) -> Reading:
        """Return what a requested reload would read, and change nothing; callable in any thread."""
        with self._lock:
            catalogue, users, files = self._catalogue.copy(), self._users.copy(), self._files
        reader = ConfigReader(snapshots, catalogue, self._clock, users, self._places, self._names)
        reader._files = files
        return reader.read(is_settled=True)

    # --- a comparison while jobs already run: `begin`, any number of `compare`, `finish` ---

    def begin(self, least: int) -> Reading | None:
        """Return a reading of users, settings and folders; the files are to be compared later.

        None if they must be read first: a folder cannot be read, or fewer than *least* files are stored.
        """
        with self._lock:
            if self._snapshots.file_count() < least or not self._snapshots.begin():
                return None
            now = self._clock.now().wall
            users, _ = self._users.read(now)
            places, count = self._places(), self._snapshots.file_count()
            return Reading(now, {}, {}, places, (), count, None, False, 0, users)

    def compare(self, paths: Iterable[str]) -> list[str]:
        """Return the names of the jobs of those of *paths* that are as the previous daemon read them."""
        with self._lock:
            same = self._snapshots.compare(paths)
            return [name for path in same for name in self._catalogue.names_of(path)]

    def uncompared_count(self) -> int:
        """Return how many files are not compared yet; callable in any thread."""
        return self._snapshots.uncompared_count()

    def finish(self) -> Reading:
        """Return the changes of the files that `compare` has not found as they were; it reads them."""
        return self._undisturbed(lambda: self._read(self._snapshots.finish))

    # --- readings ---

    def delivered(self, reading: Reading) -> None:
        """Note that *reading* has reached its caller; callable in any thread.

        The changes of a reading that has not are part of the next one. It may fail half-way, and without
        memory for a thread it may be carried out after its caller has been told of the failure.
        """
        self._delivered = reading.serial

    def settle(self) -> None:
        """Free the changes of the last reading, if that was delivered; callable in any thread."""
        with self._lock:
            self._take_delivery()

    def file_count(self) -> int:
        """Return how many files are known so far, also during a reading; callable in any thread."""
        return self._snapshots.file_count()

    def progress(self) -> tuple[int, int]:
        """Return how many files are loaded and known so far; callable in any thread."""
        return self._catalogue.taken_count, self._snapshots.file_count()

    def paths(self) -> list[str]:
        """Return the paths of all job files, to look at them in portions; callable in any thread."""
        with self._lock:
            return self._snapshots.paths()

    def read(
        self, *, is_settled: bool = False, hints: Hints = None, is_portion: bool = False
    ) -> Reading:
        """Read all files, or those of *hints*. *is_settled*: accept files that changed a moment ago.

        *is_portion*: look at the files alone, not at users, settings and handlers.
        """
        is_first = self._files is None

        def take(now: Instant) -> Snapshot:
            if hints is not None:
                return self._snapshots.look(hints, now)
            # What has gone while luad was down has gone long ago.
            return self._snapshots.read(now, is_settled=is_settled or is_first)

        user_hints = () if is_portion else hints
        return self._undisturbed(
            lambda: self._read(
                *(take, user_hints), is_settled=is_settled, is_portion=is_portion, is_first=is_first
            )
        )

    def _undisturbed(self, read: Callable[[], Reading]) -> Reading:
        with self._lock:
            must_collect = gc.isenabled()
            gc.disable()  # a load makes many objects but no garbage; collection would double its time
            try:
                return read()
            finally:
                if must_collect:
                    gc.enable()

    def _read(
        self,
        take: Callable[[Instant], Snapshot],
        user_hints: Hints = None,
        *,
        is_settled: bool = False,
        is_portion: bool = False,
        is_first: bool = False,
    ) -> Reading:
        self._take_delivery()
        now = self._clock.now().wall
        snapshot = take(now)
        files = self._load(snapshot)
        users, user_recheck_ms = self._users.read(now, is_settled=is_settled, hints=user_hints)
        wanted = self._catalogue.wanted
        if not is_portion:
            self._around = self._places(), self._names(wanted)
        places, names = self._around
        problems = places + snapshot.problems + files.problems + names
        rechecks = [each for each in (snapshot.recheck_in_ms, user_recheck_ms) if each is not None]
        essence = (problems, users)
        is_news, self._newest = bool(files.items) or essence != self._last, essence
        self._serial += 1
        return Reading(
            now,
            files.items,
            dict(wanted) if is_first else {},
            problems,
            files.stale,
            files.file_count,
            min(rechecks, default=None),
            is_news,
            self._serial,
            users,
            *self._to_keep(),
        )

    def _take_delivery(self) -> None:
        if self._delivered == self._serial:
            self._catalogue.delivered()
            self._last = self._newest

    def _load(self, snapshot: Snapshot) -> FileChanges[Wanted]:
        """Return what *snapshot* changes, compared with the previous one, or with the jobs in force.

        The changes of a snapshot stay until the catalogue has them, even if a load fails on the way.
        """
        before, is_repeated = self._files, bool(self._changed or self._gone)
        self._gone = (self._gone - snapshot.changed.keys()) | snapshot.gone
        self._changed.update(snapshot.changed)
        if before is None and self._has_snapshot and snapshot.unread:
            self._snapshots.forget(snapshot.unread)
            self._catalogue.unrestore(snapshot.unread)
        if self._is_fresh:
            self._gone |= self._catalogue.absent(snapshot.files, snapshot.unread)
        for path in self._gone:
            self._changed.pop(path, None)
        found = self._catalogue.change(
            self._changed,
            self._gone,
            unconfirmed=snapshot.unconfirmed,
            must_resolve=is_repeated or (before is None and self._must_resolve(snapshot)),
        )
        self._is_fresh, self._changed, self._gone = False, {}, set()
        files = self._catalogue.summary() if found is None else found
        self._files = replace(files, items={})  # only the reading keeps the changes
        return files

    def _must_resolve(self, snapshot: Snapshot) -> bool:
        """Return True if the first reading must resolve all files, because none was in the store.

        The last good jobs of a folder that cannot be read are stale.
        """
        return not self._has_snapshot or bool(snapshot.unread)
