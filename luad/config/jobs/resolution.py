"""The rules for broken files and for duplicate names, applied to files that share names.

A broken file keeps its last good items. Of two files with one name, the file whose item is in force keeps
it; of two new ones, the first by path gets it.

Rule: values in, values out; the only thing that changes is the last good version of an entry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from luad.errors import Problem

if TYPE_CHECKING:
    from luad.config.jobs.file_entries import Entry, Files, Parsed
    from luad.core.model import Instant, Origin

T = TypeVar("T")


class Kind(ABC, Generic[T]):
    """One kind of items in files."""

    noun: str
    plural: str
    clash_code: str

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

    def place(self, item: T) -> tuple[str, int]:
        """Return the path and the line of an item."""
        origin = self.origin_of(item)
        return (origin.path, origin.line) if origin else ("", 1)


@dataclass(slots=True)
class Outcome(Generic[T]):
    """The items in force, the problems by file, and the files whose last good items count."""

    wanted: dict[str, T] = field(default_factory=dict)
    problems: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)


class Resolution(Generic[T]):
    """Resolves *paths*, in order; no other file has a name of theirs.

    *before* are the items that were in force, by name; equal items stay the same objects. *names_left*: by
    file whose change is unconfirmed, the names still in it.
    """

    def __init__(
        self,
        kind: Kind[T],
        files: Files[T],
        paths: list[str],
        before: Mapping[str, T],
        names_left: Mapping[str, frozenset[str]],
    ) -> None:
        self._kind = kind
        self._files = files
        self._paths = paths
        self._before = before
        self._names_left = names_left

    def run(self) -> Outcome[T]:
        """Return the outcome once nothing moves any more.

        A file can give up a name because another one gets it, and a third may then have both of its own.
        """
        outcome, has_clash = self._pass(self._before)
        for _ in self._paths:
            if not has_clash:
                break
            places = self._places(outcome.wanted)
            outcome, has_clash = self._pass(outcome.wanted)
            if self._places(outcome.wanted) == places:
                break
        return outcome

    def _places(self, wanted: Mapping[str, T]) -> dict[str, tuple[str, int]]:
        return {name: self._kind.place(each) for name, each in wanted.items()}

    def _pass(self, in_force: Mapping[str, T]) -> tuple[Outcome[T], bool]:
        """Return the items, one file for each name, and True if files were refused for their names.

        *in_force* decides between files.
        """
        outcome: Outcome[T] = Outcome()
        clashes = self._clashes(in_force)
        stale: list[str] = []
        unconfirmed: list[T] = []
        for path in self._paths:
            entry = self._files[path]
            if problems := (*entry.problems, *clashes.get(path, ())):
                outcome.problems[path] = problems
            if entry.is_broken or path in clashes:
                stale.append(path)
                continue
            self._install(path, entry)
            if path in self._names_left:
                unconfirmed.extend(entry.last_good)
                continue
            for each in entry.last_good:
                outcome.wanted[self._kind.name_of(each)] = each
        for each in unconfirmed:
            outcome.wanted.setdefault(self._kind.name_of(each), each)
        for path in stale:
            self._add_last_good(path, outcome.wanted)
        outcome.stale = stale
        return outcome, bool(clashes)

    def _install(self, path: str, entry: Entry[T]) -> None:
        if not entry.is_installed:
            names = self._files.names(path)
            entry.last_good = entry.items = tuple(map(self._kept, entry.items))
            entry.is_installed = True
            self._files.reindex(path, names)

    def _add_last_good(self, path: str, wanted: dict[str, T]) -> None:
        """Add the last good items of a file, except those that another file declares now."""
        entry = self._files[path]
        names = self._files.names(path)
        entry.last_good = tuple(
            self._kept(self._kind.as_stale(each))
            for each in entry.last_good
            if self._kind.name_of(each) not in wanted
        )
        entry.is_installed = False  # a valid version of the file ends the staleness
        self._files.reindex(path, names)
        wanted.update((self._kind.name_of(each), each) for each in entry.last_good)

    def _kept(self, item: T) -> T:
        old = self._before.get(self._kind.name_of(item))
        return item if old is None else self._kind.reuse(item, old)

    # --- duplicate names ---

    def _clashes(self, in_force: Mapping[str, T]) -> dict[str, list[Problem]]:
        """Return the duplicate-name problems by file; the file whose item is in force wins.

        Among new files the first by path wins, so that each start gives the same result.
        """
        owners = self._owners()
        if all(len(files) == 1 for files in owners.values()):
            return {}
        taken: dict[str, str] = {}
        clashes: dict[str, list[Problem]] = {}
        for path in self._paths:
            entry = self._files[path]
            if entry.is_broken or path in self._names_left:
                continue
            holders = [
                (each, self._holder(each, path, in_force, owners, taken)) for each in entry.items
            ]
            lost = [(each, holder) for each, holder in holders if holder != path]
            if lost:
                clashes[path] = [self._clash(each, holder, path) for each, holder in lost]
            else:
                taken.update(dict.fromkeys(map(self._kind.name_of, entry.items), path))
        return clashes

    def _owners(self) -> dict[str, list[str]]:
        owners: dict[str, list[str]] = {}
        for path in self._paths:
            names_left = self._names_left.get(path)
            for each in self._files[path].owned:
                name = self._kind.name_of(each)
                if names_left is None or name in names_left:  # else another file may declare it now
                    owners.setdefault(name, []).append(path)
        return owners

    def _holder(
        self,
        item: T,
        path: str,
        in_force: Mapping[str, T],
        owners: Mapping[str, list[str]],
        taken: Mapping[str, str],
    ) -> str:
        """Return the file to which the name of *item* belongs when *path* declares it."""
        name = self._kind.name_of(item)
        known = in_force.get(name)
        origin = self._kind.origin_of(known) if known is not None else None
        if origin is not None and origin.path in owners[name]:
            return origin.path
        return taken.get(name, path)

    def _clash(self, loser: T, holder: str, path: str) -> Problem:
        entry, kind = self._files[holder], self._kind
        name = kind.name_of(loser)
        known = (*entry.items, *entry.last_good)
        lines = [kind.place(each)[1] for each in known if kind.name_of(each) == name]
        first = f"{holder}:{lines[0]}" if lines else holder
        return Problem(
            path,
            kind.place(loser)[1],
            1,
            kind.clash_code,
            f"duplicate {kind.noun} `{name}`; first defined at {first}",
            help="rename one of the two; luad ignores this file until then",
            job=name if kind.plural == "jobs" else "",
        )
