"""The items of all files of a kind, with the last good version of each broken file.

A broken file affects nothing else. A file that has not changed is not parsed again, and its items
stay the same objects. A change costs what changed: only the files that are connected with it by a name are
resolved again.

Rule: snapshots in, wanted items out; opens no file.
"""

from __future__ import annotations

import os.path
from collections.abc import Collection, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, Protocol, Self, TypeVar

from luad.config.jobs.file_entries import Files, Parsed
from luad.config.jobs.resolution import Kind, Outcome, Resolution
from luad.core.model import Instant
from luad.errors import Problem, Severity

__all__ = ["FileVersion", "LastGood", "LoadedFiles", "Parsed"]

T = TypeVar("T")


class FileVersion(Protocol):
    """One file of a snapshot: its *data* with a hash as *key*, or a *problem*."""

    @property
    def data(self) -> bytes:
        """The content; not read if the key is known."""
        ...

    @property
    def key(self) -> str:
        """A hash; equal keys mean equal content."""
        ...

    @property
    def problem(self) -> Problem | None:
        """The reason why the file was not read, or None."""
        ...


@dataclass(frozen=True)  # no slots: LoadedFiles[T]() would fail with them
class LoadedFiles(Generic[T]):
    """The result of a load.

    *wanted* is by name. *stale* are the paths of broken files that have a last good version in it.
    """

    wanted: Mapping[str, T] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()
    file_count: int = 0


@dataclass(frozen=True)
class FileChanges(Generic[T]):
    """The effect of changed files. *items* are by name; None stands for a removed item."""

    items: Mapping[str, T | None] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()
    file_count: int = 0


class LastGood(Kind[T]):
    """The items of all files of some folders, with unique names; not thread-safe.

    A subclass defines the items of one kind of files.
    """

    def __init__(self, limit: int, limit_help: str) -> None:
        self._limit = limit
        self._limit_help = limit_help
        self._files: Files[T] = Files(self.name_of)
        self._wanted: dict[str, T] = {}  # the items in force
        self._problems: dict[str, tuple[Problem, ...]] = {}  # by file, for files that have some
        self._stale: dict[str, None] = {}
        self._beyond: tuple[Problem, ...] = ()  # of items beyond the limit
        self._unconfirmed: dict[str, FileVersion | None] = {}
        self._names_left: dict[str, frozenset[str]] = {}  # by unconfirmed file, what it still has
        self._loaded: LoadedFiles[T] | None = None
        self.taken_count = 0  # versions of files so far, which tells the progress of a change
        self._undelivered: dict[str, T | None] = {}  # changes since the last `delivered`

    # --- all files ---

    def take_over(self, items: Mapping[str, T]) -> None:
        """Use the items that were in force before a restart as last good; call before `update`."""
        for name, item in items.items():
            path, _ = self.place(item)
            assert path, "a last good version belongs to a file"
            self._files.add_last_good(path, item)
            self._wanted[name] = item

    def restore(self, path: str, key: str, count: int) -> bool:
        """Take the last good items of *path* as those of a file with the hash *key*, without reading it.

        Returns False if there are not *count* of them. Call this after `take_over`.
        """
        entry = self._files.make(path) if count == 0 else self._files.get(path)
        if entry is None or len(entry.last_good) != count:
            return False
        entry.key, entry.is_broken, entry.is_installed = key, False, True
        if count > 1:
            entry.last_good = tuple(sorted(entry.last_good, key=self.place))
        entry.items = entry.last_good
        return True

    def unrestore(self, folders: Collection[str]) -> None:
        """Undo `restore` for the files of *folders*: only their last good items are known."""
        for path in self._files:
            if os.path.dirname(path) in folders:  # noqa: PTH120 - text
                entry = self._files[path]
                entry.key, entry.items, entry.is_broken, entry.is_installed = None, (), True, False

    def counts(self, path: str) -> int | None:
        """Return the number of items of a file that are all in force, without a problem; else None."""
        entry = self._files.get(path)
        if entry is None or not entry.is_installed or path in self._problems:
            return None
        if path in self._unconfirmed or self._beyond:
            return None
        return len(entry.items)

    def same_path(self, path: str) -> str:
        """Return *path* as the object that the items of the file have, so that it is in memory once."""
        for item in self.items_of(path):
            return self.place(item)[0]
        return path

    def items_of(self, path: str) -> Collection[T]:
        """Return the last good items of a file."""
        entry = self._files.get(path)
        return () if entry is None else entry.last_good

    def names_of(self, path: str) -> Collection[str]:
        """Return the names of the items of a file."""
        return self._files.names(path) if path in self._files else ()

    def summary(self) -> FileChanges[T]:
        """Return what is the case, without a change."""
        return FileChanges({}, self._all_problems(), self._stale_files(), len(self._files))

    def copy(self) -> Self:
        """Return an independent copy, to try a load without consequences."""
        twin = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | set | Files):
                setattr(twin, name, value.copy())
        return twin

    def update(
        self,
        files: Mapping[str, FileVersion],
        *,
        unread: Collection[str] = (),
        unconfirmed: Mapping[str, FileVersion | None] | None = None,
        now: Instant | None = None,
    ) -> LoadedFiles[T]:
        """Return the wanted items of *files*, a complete snapshot by path.

        The items of files in the folders *unread* stay unchanged. *unconfirmed* are files that may
        have vanished or lost a part: *files* has their earlier versions, *unconfirmed* the present
        ones. Their lost items stay unless another file declares them as well, as after a rename;
        the other items keep belonging to them.

        If nothing has changed, the result is the same object as before.
        """
        gone = self.absent(files, unread)
        before, is_first = self._loaded, self._loaded is None
        changes = self.change(files, gone, unconfirmed=unconfirmed, now=now, must_resolve=is_first)
        if before is not None and changes is None:
            return before
        problems, stale = self._all_problems(), self._stale_files()
        self._loaded = LoadedFiles(dict(self._wanted), problems, stale, len(self._files))
        self.delivered()
        return self._loaded

    def absent(self, files: Collection[str], unread: Collection[str] = ()) -> set[str]:
        """Return the known files that are not among *files*, without those in the folders *unread*."""
        absent = (path for path in self._files if path not in files)
        return {path for path in absent if os.path.dirname(path) not in unread}  # noqa: PTH120 - text

    @property
    def wanted(self) -> Mapping[str, T]:
        """The items in force, by name; a change changes the mapping."""
        return self._wanted

    def change(
        self,
        changed: Mapping[str, FileVersion],
        gone: Iterable[str],
        *,
        unconfirmed: Mapping[str, FileVersion | None] | None = None,
        now: Instant | None = None,
        must_resolve: bool = False,
    ) -> FileChanges[T] | None:
        """Take the new versions *changed*, without the files *gone*; None if nothing has changed.

        *unconfirmed*, as in `update`, are all such files, changed or not. With *must_resolve* all files are
        resolved again. The changes are part of each result until `delivered`, so that a failure afterwards
        loses none of them.
        """
        paths, names = self._note_unconfirmed(unconfirmed or {}, now), set[str]()
        for path in gone:
            if path in self._files:
                names |= self._files.remove(path)
                self._forget(path)
        for path, version in changed.items():
            if not self._is_known(path, version):
                before = self._files.names(path) if path in self._files else frozenset()
                self._take(path, version, now)
                names |= before
                paths.add(path)
        is_changed = bool(paths or names or must_resolve)
        if not is_changed and not self._undelivered:
            return None
        self._loaded = None
        if must_resolve or (is_changed and self._beyond):
            self._resolve_all()
        elif is_changed:
            self._resolve(*self._files.connected(paths, names))
        items = dict(self._undelivered)
        return FileChanges(items, self._all_problems(), self._stale_files(), len(self._files))

    def delivered(self) -> None:
        """Note that the caller has the changes of the last `change`."""
        self._undelivered.clear()

    # --- inside ---

    def _is_known(self, path: str, version: FileVersion) -> bool:
        entry = self._files.get(path)
        return entry is not None and (entry.key, entry.refusal) == (version.key, version.problem)

    def _take(self, path: str, version: FileVersion, now: Instant | None) -> None:
        entry = self._files.make(path)
        names = self._files.names(path)
        entry.take(self._read(path, version, now))
        entry.key, entry.refusal = version.key, version.problem
        self._files.reindex(path, names)
        self.taken_count += 1

    def _read(self, path: str, version: FileVersion, now: Instant | None) -> Parsed[T]:
        if version.problem is not None:
            is_broken = version.problem.severity is Severity.ERROR
            return Parsed(path, (), (version.problem,), is_broken=is_broken)
        return self.parse(path, version.data, now)

    def _note_unconfirmed(
        self, unconfirmed: Mapping[str, FileVersion | None], now: Instant | None
    ) -> set[str]:
        """Note the files whose change is unconfirmed; return those for which that is new or over."""
        before = self._unconfirmed
        touched = {path for path in before if path not in unconfirmed}
        for path in touched:
            del self._names_left[path]
        for path, version in unconfirmed.items():
            if path in before and before[path] == version:
                continue
            touched.add(path)
            items = self._read(path, version, now).items if version is not None else ()
            self._names_left[path] = frozenset(map(self.name_of, items))
        self._unconfirmed = dict(unconfirmed)
        return touched

    def _forget(self, path: str) -> None:
        self._problems.pop(path, None)
        self._stale.pop(path, None)

    def _resolve_all(self) -> None:
        self._resolve(set(self._files), set(self._wanted))

    def _resolve(self, paths: set[str], names: set[str]) -> None:
        """Resolve *paths*, which have all of *names* and no others."""
        before = {name: self._wanted[name] for name in names if name in self._wanted}
        order, is_whole = sorted(paths), len(paths) == len(self._files)
        outcome = Resolution(self, self._files, order, before, self._names_left).run()
        count = len(self._wanted) - len(before) + len(outcome.wanted)
        if count > self._limit and not is_whole:
            self._resolve_all()
            return
        for path in order:
            self._forget(path)
        self._problems.update(outcome.problems)
        self._stale.update(dict.fromkeys(outcome.stale))
        if is_whole:
            self._limit_items(outcome, before)
        removed = before.keys() - outcome.wanted.keys()
        changes = ((name, outcome.wanted.get(name)) for name in chain(outcome.wanted, removed))
        self._undelivered.update(each for each in changes if each[1] is not before.get(each[0]))
        for name in removed:
            del self._wanted[name]
        self._wanted.update(outcome.wanted)

    def _limit_items(self, outcome: Outcome[T], before: Mapping[str, T]) -> None:
        """Remove the items beyond the limit from *outcome* of all files, and note a problem for each.

        Items in force stay; of the others the last by path are removed.
        """
        self._beyond = ()
        excess = len(outcome.wanted) - self._limit
        if excess <= 0:
            return
        newest_first = sorted(
            outcome.wanted.values(),
            key=lambda each: (self.name_of(each) not in before, self.place(each)),
            reverse=True,
        )
        found = []
        for each in newest_first[:excess]:
            del outcome.wanted[self.name_of(each)]
            path, line = self.place(each)
            limit = f"more than {self._limit} {self.plural}; this one is not installed"
            found.append(Problem(path, line, 1, "LU007", limit, self._limit_help))
        self._beyond = tuple(sorted(found))

    def _all_problems(self) -> tuple[Problem, ...]:
        by_file = (self._problems[path] for path in sorted(self._problems))
        return (*chain.from_iterable(by_file), *self._beyond)

    def _stale_files(self) -> tuple[str, ...]:
        return tuple(path for path in sorted(self._stale) if self._files[path].last_good)
