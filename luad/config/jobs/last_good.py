"""What all files of a kind together ask for, with the last good version of each broken one.

Room rule: snapshots in, what is wanted out; opens no file. A broken file changes nothing but itself,
and what has not changed is neither parsed again nor replaced: it stays the same object.
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
    """One file as a snapshot holds it: *data* and their hash as *key*, or the *problem* of
    reading it."""

    @property
    def data(self) -> bytes:
        """The content; not looked at when the key is known already."""
        ...

    @property
    def key(self) -> str:
        """Equal keys mean equal content."""
        ...

    @property
    def problem(self) -> Problem | None:
        """Why the file was not read."""
        ...


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """What a file says. *is_broken*: there is an error among the problems, and *items* is empty."""

    path: str
    items: tuple[T, ...]
    problems: tuple[Problem, ...]
    is_broken: bool = False


@dataclass(frozen=True)  # no slots: a generic class with them cannot be called as LoadedFiles[T]()
class LoadedFiles(Generic[T]):
    """The outcome of a load. *wanted* is by name, *stale* are the paths of broken files whose last
    good version is among it."""

    wanted: Mapping[str, T] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()
    file_count: int = 0
    broken_count: int = 0


@dataclass(slots=True)
class _Entry(Generic[T]):
    """One file: the newest parse, and what the newest one that could be installed said, which is
    *accepted* unless it is of an earlier life."""

    version: FileVersion | None = None
    parsed: Parsed[T] | None = None
    accepted: Parsed[T] | None = None
    good: tuple[T, ...] = ()

    @property
    def claimed(self) -> tuple[T, ...]:
        """The items whose names the file has a claim on: what it says, or said when it last could."""
        if self.parsed is None or self.parsed.is_broken:
            return self.good
        return self.parsed.items


class LastGood(ABC, Generic[T]):
    """Remembers every file of some folders. One owner, not to be shared between threads.

    A class for a kind of files says what an item is; names are unique over all of them.
    """

    noun: str
    plural: str
    clash_code: str

    def __init__(self, limit: int, limit_help: str) -> None:
        self._limit = limit
        self._limit_help = limit_help
        self._entries: dict[str, _Entry[T]] = {}
        self._loaded: LoadedFiles[T] = LoadedFiles()  # what is in force now
        self._is_fresh = True
        self._doubtful: Mapping[str, FileVersion | None] = {}
        self._staying: dict[str, frozenset[str]] = {}  # by doubtful file, the names it still says

    # --- what an item is ---

    @abstractmethod
    def parse(self, path: str, data: bytes, now: Instant | None) -> Parsed[T]:
        """Return what a file says; never raises."""

    @abstractmethod
    def name_of(self, item: T) -> str:
        """Return the name that no other item may have."""

    @abstractmethod
    def origin_of(self, item: T) -> Origin | None:
        """Return where it stands."""

    @abstractmethod
    def as_stale(self, item: T) -> T:
        """Return it as the last good version of a file that is broken now."""

    @abstractmethod
    def reuse(self, item: T, old: T) -> T:
        """Return *old*, or as much of it as still says the same as *item*, else *item*."""

    # --- what all files say ---

    def take_over(self, items: Mapping[str, T]) -> None:
        """Take what was in force before a restart as last good versions; call before `update`."""
        for item in items.values():
            origin = self.origin_of(item)
            assert origin is not None, "what stands in no file is nobody's last good version"
            entry = self._entries.setdefault(origin.path, _Entry())
            entry.good += (item,)
        self._loaded = LoadedFiles(items)

    def copy(self) -> Self:
        """Return a twin that goes on from here by itself, to try a load without consequences."""
        twin = copy(self)
        twin._entries = {path: replace(entry) for path, entry in self._entries.items()}  # noqa: SLF001 - its own
        return twin

    def update(
        self,
        files: Mapping[str, FileVersion],
        *,
        unread: Collection[str] = (),
        doubtful: Mapping[str, FileVersion | None] | None = None,
        now: Instant | None = None,
    ) -> LoadedFiles[T]:
        """Return what *files*, a complete snapshot by shown path, ask for.

        Nothing is known of the files in the folders *unread*: what they said stays as it is. Those that
        are *doubtful* may have gone, or lost a part: *files* has them as they were, *doubtful* what stands
        there meanwhile. What they have lost stays unless another file says it, too, as it does once a file
        has been renamed; what they still say is theirs.

        When nothing has changed the answer is the same object as before.
        """
        entries = self._entries
        changed = [
            (path, version)
            for path, version in files.items()
            if not _is_known(entries, path, version)
        ]
        absent = [path for path in entries if path not in files]
        gone = [path for path in absent if os.path.dirname(path) not in unread]  # noqa: PTH120 - text
        doubtful = doubtful or {}
        is_as_before = not self._is_fresh and self._doubtful == doubtful
        if not changed and not gone and is_as_before:
            return self._loaded
        self._doubtful = doubtful
        self._staying = {
            path: self._names_in(path, version, now) for path, version in doubtful.items()
        }
        for path in gone:
            del entries[path]
        for path in absent:
            if path in entries and entries[path].parsed is None:  # from before the restart
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
        """Decide which file's item is in force for every name, and keep old objects where equal."""
        before = self._loaded.wanted
        paths = sorted(self._entries)
        clashes = self._clashes(paths)
        wanted: dict[str, T] = {}
        problems: list[Problem] = []
        stale: list[str] = []
        leaving: list[T] = []
        for path in paths:
            entry = self._entries[path]
            parsed = entry.parsed
            assert parsed is not None, "every entry of the snapshot has been parsed"
            problems.extend(parsed.problems)
            problems.extend(clashes.get(path, ()))
            if parsed.is_broken or path in clashes:
                stale.append(path)
                continue
            if entry.accepted is not parsed:
                entry.good = tuple(self._kept(each, before) for each in parsed.items)
                entry.accepted = parsed
            if path in self._doubtful:
                leaving.extend(entry.good)
                continue
            for each in entry.good:
                wanted[self.name_of(each)] = each
        for each in leaving:
            wanted.setdefault(self.name_of(each), each)
        self._add_last_good(stale, wanted, before)
        broken_count = len(stale)
        stale = [path for path in stale if self._entries[path].good]
        problems.extend(self._too_many(wanted))
        return LoadedFiles(wanted, tuple(problems), tuple(stale), len(paths), broken_count)

    def _add_last_good(
        self, stale: list[str], wanted: dict[str, T], before: Mapping[str, T]
    ) -> None:
        for path in stale:
            entry = self._entries[path]
            kept = []
            for each in entry.good:
                name = self.name_of(each)
                if name in wanted:
                    continue  # its own file does not ask for it any more, and another one does
                old = self._kept(self.as_stale(each), before)
                wanted[name] = old
                kept.append(old)
            entry.good = tuple(kept)
            entry.accepted = None  # once the file is good again, it is not stale any more

    def _kept(self, item: T, before: Mapping[str, T]) -> T:
        old = before.get(self.name_of(item))
        return item if old is None else self.reuse(item, old)

    def _too_many(self, wanted: dict[str, T]) -> list[Problem]:
        """Refuse the items beyond the limit: those in force stay, the last by path give way."""
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
        """The files that name an item which is another file's: of two, the one in force stays.

        Among files that are all new the first by path is taken, so every start agrees.
        """
        claims: dict[str, list[str]] = {}
        has_clash = False
        for path in paths:
            staying = self._staying.get(path)
            for each in self._entries[path].claimed:
                name = self.name_of(each)
                if staying is not None and name not in staying:
                    continue  # whoever says it now may have it
                claimants = claims.setdefault(name, [])
                claimants.append(path)
                has_clash = has_clash or len(claimants) > 1
        if not has_clash:
            return {}
        taken: dict[str, str] = {}
        clashes: dict[str, list[Problem]] = {}
        for path in paths:
            parsed = self._entries[path].parsed
            if parsed is None or parsed.is_broken or path in self._doubtful:
                continue
            lost = [
                (each, holder)
                for each in parsed.items
                if (holder := self._holder(self.name_of(each), path, claims, taken)) != path
            ]
            if lost:
                clashes[path] = [self._clash(each, holder, path) for each, holder in lost]
            else:
                taken.update(dict.fromkeys(map(self.name_of, parsed.items), path))
        return clashes

    def _holder(
        self, name: str, path: str, claims: dict[str, list[str]], taken: dict[str, str]
    ) -> str:
        """The file that a name belongs to when *path* asks for it."""
        in_force = self._loaded.wanted.get(name)
        origin = self.origin_of(in_force) if in_force is not None else None
        if origin is not None and origin.path in claims[name]:
            return origin.path
        return taken.get(name, path)

    def _clash(self, loser: T, holder: str, path: str) -> Problem:
        entry = self._entries[holder]
        name = self.name_of(loser)
        known = (entry.parsed.items if entry.parsed else ()) + entry.good
        lines = [self._place(each)[1] for each in known if self.name_of(each) == name]
        first = f"{holder}:{lines[0]}" if lines else holder
        return Problem(
            path,
            self._place(loser)[1],
            1,
            self.clash_code,
            f"duplicate {self.noun} `{name}`; first defined at {first}",
            help="rename one of the two; this file is ignored until then",
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
