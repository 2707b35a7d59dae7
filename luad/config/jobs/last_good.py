"""The items of all files of a kind, with the last good version of each broken file.

A broken file affects nothing else. A file that has not changed is not parsed again, and its items
stay the same objects.

Rule: snapshots in, wanted items out; opens no file.
"""

from __future__ import annotations

import os.path
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, Self, TypeVar

from luad.core.model import Instant, Origin
from luad.errors import Problem, Severity

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


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """The items and problems of a file. If *is_broken*, a problem is an error, and *items* is empty."""

    path: str
    items: tuple[T, ...]
    problems: tuple[Problem, ...]
    is_broken: bool = False


@dataclass(frozen=True)  # no slots: LoadedFiles[T]() would fail with them
class LoadedFiles(Generic[T]):
    """The result of a load.

    *wanted* is by name. *stale* are the paths of broken files that have a last good version in it.
    """

    wanted: Mapping[str, T] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()
    file_count: int = 0
    broken_count: int = 0


@dataclass(slots=True)
class _Entry(Generic[T]):
    """One file: its newest version, and its last good items.

    *installed* is the parse whose items are *last_good*; None if they come from before a restart.
    """

    version: FileVersion | None = None
    parsed: Parsed[T] | None = None
    installed: Parsed[T] | None = None
    last_good: tuple[T, ...] = ()

    @property
    def owned(self) -> tuple[T, ...]:
        """The items whose names belong to the file: those of the newest valid version."""
        if self.parsed is None or self.parsed.is_broken:
            return self.last_good
        return self.parsed.items


class LastGood(ABC, Generic[T]):
    """The items of all files of some folders, with unique names; not thread-safe.

    A subclass defines the items of one kind of files.
    """

    noun: str
    plural: str
    clash_code: str

    def __init__(self, limit: int, limit_help: str) -> None:
        self._limit = limit
        self._limit_help = limit_help
        self._entries: dict[str, _Entry[T]] = {}
        self._loaded: LoadedFiles[T] = LoadedFiles()  # the items in force
        self._is_fresh = True
        self._unconfirmed: Mapping[str, FileVersion | None] = {}
        self._names_left: dict[
            str, frozenset[str]
        ] = {}  # by unconfirmed file, the names still in it

    # --- the kind of items ---

    @abstractmethod
    def parse(self, path: str, data: bytes, now: Instant | None) -> Parsed[T]:
        """Return the items and problems of a file; never raises."""

    @abstractmethod
    def name_of(self, item: T) -> str:
        """Return the unique name of an item."""

    @abstractmethod
    def origin_of(self, item: T) -> Origin | None:
        """Return the place of an item, or None."""

    @abstractmethod
    def as_stale(self, item: T) -> T:
        """Return the item as the last good version of a broken file."""

    @abstractmethod
    def reuse(self, item: T, old: T) -> T:
        """Return *old*, or as much of it as equals *item*, else *item*."""

    # --- all files ---

    def take_over(self, items: Mapping[str, T]) -> None:
        """Use the items that were in force before a restart as last good; call before `update`."""
        for item in items.values():
            origin = self.origin_of(item)
            assert origin is not None, "a last good version belongs to a file"
            entry = self._entries.setdefault(origin.path, _Entry())
            entry.last_good += (item,)
        self._loaded = LoadedFiles(items)

    def copy(self) -> Self:
        """Return an independent copy, to try a load without consequences."""
        duplicate = copy(self)
        duplicate._entries = {path: replace(entry) for path, entry in self._entries.items()}  # noqa: SLF001 - its own
        return duplicate

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
        entries = self._entries
        changed = [
            (path, version)
            for path, version in files.items()
            if not _is_known(entries, path, version)
        ]
        absent = [path for path in entries if path not in files]
        gone = [path for path in absent if os.path.dirname(path) not in unread]  # noqa: PTH120 - text
        unconfirmed = unconfirmed or {}
        is_as_before = not self._is_fresh and self._unconfirmed == unconfirmed
        if not changed and not gone and is_as_before:
            return self._loaded
        self._unconfirmed = unconfirmed
        self._names_left = {
            path: self._names_in(path, version, now) for path, version in unconfirmed.items()
        }
        for path in gone:
            del entries[path]
        for path in absent:
            if path in entries and entries[path].parsed is None:  # known only from before a restart
                entries[path].parsed = Parsed(path, (), (), is_broken=True)
        for path, version in changed:
            entry = entries.setdefault(path, _Entry())
            entry.version = version
            entry.parsed = self._read(path, version, now)
        self._is_fresh = False
        self._loaded = self._resolve()
        return self._loaded

    def _read(self, path: str, version: FileVersion, now: Instant | None) -> Parsed[T]:
        if version.problem is not None:
            is_broken = version.problem.severity is Severity.ERROR
            return Parsed(path, (), (version.problem,), is_broken=is_broken)
        return self.parse(path, version.data, now)

    def _names_in(
        self, path: str, version: FileVersion | None, now: Instant | None
    ) -> frozenset[str]:
        items = self._read(path, version, now).items if version is not None else ()
        return frozenset(map(self.name_of, items))

    def _resolve(self) -> LoadedFiles[T]:
        """Return the items in force, one file for each name; equal items stay the same objects."""
        before = self._loaded.wanted
        paths = sorted(self._entries)
        clashes = self._clashes(paths)
        wanted: dict[str, T] = {}
        problems: list[Problem] = []
        stale: list[str] = []
        unconfirmed_items: list[T] = []
        for path in paths:
            entry = self._entries[path]
            parsed = entry.parsed
            assert parsed is not None, "every entry of the snapshot has been parsed"
            problems.extend(parsed.problems)
            problems.extend(clashes.get(path, ()))
            if parsed.is_broken or path in clashes:
                stale.append(path)
                continue
            if entry.installed is not parsed:
                entry.last_good = tuple(self._kept(each, before) for each in parsed.items)
                entry.installed = parsed
            if path in self._unconfirmed:
                unconfirmed_items.extend(entry.last_good)
                continue
            for each in entry.last_good:
                wanted[self.name_of(each)] = each
        for each in unconfirmed_items:
            wanted.setdefault(self.name_of(each), each)
        self._add_last_good(stale, wanted, before)
        broken_count = len(stale)
        stale = [path for path in stale if self._entries[path].last_good]
        problems.extend(self._too_many(wanted))
        return LoadedFiles(wanted, tuple(problems), tuple(stale), len(paths), broken_count)

    def _add_last_good(
        self, stale: list[str], wanted: dict[str, T], before: Mapping[str, T]
    ) -> None:
        for path in stale:
            entry = self._entries[path]
            kept = []
            for each in entry.last_good:
                name = self.name_of(each)
                if name in wanted:
                    continue  # another file declares it now
                old = self._kept(self.as_stale(each), before)
                wanted[name] = old
                kept.append(old)
            entry.last_good = tuple(kept)
            entry.installed = None  # a valid version of the file ends the staleness

    def _kept(self, item: T, before: Mapping[str, T]) -> T:
        old = before.get(self.name_of(item))
        return item if old is None else self.reuse(item, old)

    def _too_many(self, wanted: dict[str, T]) -> list[Problem]:
        """Remove the items beyond the limit, and return a problem for each.

        Items in force stay; of the others the last by path are removed.
        """
        excess = len(wanted) - self._limit
        if excess <= 0:
            return []
        newest_first = sorted(
            wanted.values(),
            key=lambda each: (self.name_of(each) not in self._loaded.wanted, self._place(each)),
            reverse=True,
        )
        found = []
        for each in newest_first[:excess]:
            del wanted[self.name_of(each)]
            path, line = self._place(each)
            limit = f"more than {self._limit} {self.plural}; this one is not installed"
            found.append(Problem(path, line, 1, "LU007", limit, self._limit_help))
        return sorted(found)

    def _clashes(self, paths: list[str]) -> dict[str, list[Problem]]:
        """Return the duplicate-name problems by file; the file whose item is in force wins.

        Among new files the first by path wins, so that each start gives the same result.
        """
        owners: dict[str, list[str]] = {}
        has_clash = False
        for path in paths:
            names_left = self._names_left.get(path)
            for each in self._entries[path].owned:
                name = self.name_of(each)
                if names_left is not None and name not in names_left:
                    continue  # another file may declare it now
                files = owners.setdefault(name, [])
                files.append(path)
                has_clash = has_clash or len(files) > 1
        if not has_clash:
            return {}
        taken: dict[str, str] = {}
        clashes: dict[str, list[Problem]] = {}
        for path in paths:
            parsed = self._entries[path].parsed
            if parsed is None or parsed.is_broken or path in self._unconfirmed:
                continue
            lost = [
                (each, holder)
                for each in parsed.items
                if (holder := self._holder(self.name_of(each), path, owners, taken)) != path
            ]
            if lost:
                clashes[path] = [self._clash(each, holder, path) for each, holder in lost]
            else:
                taken.update(dict.fromkeys(map(self.name_of, parsed.items), path))
        return clashes

    def _holder(
        self, name: str, path: str, owners: dict[str, list[str]], taken: dict[str, str]
    ) -> str:
        """Return the file to which a name belongs when *path* declares it."""
        in_force = self._loaded.wanted.get(name)
        origin = self.origin_of(in_force) if in_force is not None else None
        if origin is not None and origin.path in owners[name]:
            return origin.path
        return taken.get(name, path)

    def _clash(self, loser: T, holder: str, path: str) -> Problem:
        entry = self._entries[holder]
        name = self.name_of(loser)
        known = (entry.parsed.items if entry.parsed else ()) + entry.last_good
        lines = [self._place(each)[1] for each in known if self.name_of(each) == name]
        first = f"{holder}:{lines[0]}" if lines else holder
        return Problem(
            path,
            self._place(loser)[1],
            1,
            self.clash_code,
            f"duplicate {self.noun} `{name}`; first defined at {first}",
            help="rename one of the two; luad ignores this file until then",
            job=name if self.plural == "jobs" else "",
        )

    def _place(self, item: T) -> tuple[str, int]:
        origin = self.origin_of(item)
        return (origin.path, origin.line) if origin else ("", 1)


def _is_known(entries: dict[str, _Entry[T]], path: str, version: FileVersion) -> bool:
    entry = entries.get(path)
    if entry is None or entry.version is None:
        return False
    known = entry.version
    return known is version or (known.key == version.key and known.problem == version.problem)
