"""The files of a kind, each with its newest items and its last good ones, and an index of their names.

Rule: stores, and decides nothing; `resolution` has the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from luad.errors import Problem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """The items and problems of a file. If *is_broken*, a problem is an error, and *items* is empty."""

    path: str
    items: tuple[T, ...]
    problems: tuple[Problem, ...]
    is_broken: bool = False


@dataclass(slots=True)
class Entry(Generic[T]):
    """One file: its newest items and problems, and its last good items.

    *key* is the hash of the newest content; None if only the last good items are known, from before a
    restart. *refusal* is the problem of reading the file. *is_installed*: *last_good* are the newest items.
    """

    key: str | None = None
    refusal: Problem | None = None
    items: tuple[T, ...] = ()
    problems: tuple[Problem, ...] = ()
    is_broken: bool = True
    is_installed: bool = False
    last_good: tuple[T, ...] = ()

    @property
    def owned(self) -> tuple[T, ...]:
        """The items whose names belong to the file: those of the newest valid version."""
        return self.last_good if self.is_broken else self.items

    def take(self, parsed: Parsed[T]) -> None:
        """Make *parsed* the newest version."""
        self.items, self.problems = parsed.items, parsed.problems
        self.is_broken, self.is_installed = parsed.is_broken, False


class NameIndex:
    """The files by the names that they declare now, or declared in their last good version."""

    def __init__(self) -> None:
        self._paths: dict[str, str | frozenset[str]] = {}

    def copy(self) -> NameIndex:
        """Return an independent copy."""
        twin = NameIndex()
        twin._paths = dict(self._paths)
        return twin

    def paths(self, name: str) -> Collection[str]:
        """Return the files of a name."""
        found = self._paths.get(name, frozenset())
        return (found,) if isinstance(found, str) else found

    def add(self, path: str, names: Iterable[str]) -> None:
        """Note that *path* has *names*. A name of one file, the usual case, needs no set."""
        for name in names:
            known = self._paths.setdefault(name, path)
            if known != path:
                self._paths[name] = frozenset((*self.paths(name), path))

    def discard(self, path: str, names: Iterable[str]) -> None:
        """Note that *path* has none of *names* any more."""
        for name in names:
            left = frozenset(self.paths(name)) - {path}
            if len(left) > 1:
                self._paths[name] = left
            elif left:
                (self._paths[name],) = left
            else:
                self._paths.pop(name, None)


class Files(Generic[T]):
    """All entries by path. *name_of* returns the name of an item."""

    def __init__(self, name_of: Callable[[T], str]) -> None:
        self._name_of = name_of
        self._entries: dict[str, Entry[T]] = {}
        self._index = NameIndex()

    def copy(self) -> Files[T]:
        """Return an independent copy."""
        twin = Files(self._name_of)
        for path, each in self._entries.items():
            twin._entries[path] = Entry(
                *(each.key, each.refusal, each.items, each.problems),
                *(each.is_broken, each.is_installed, each.last_good),
            )
        twin._index = self._index.copy()
        return twin

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def __getitem__(self, path: str) -> Entry[T]:
        return self._entries[path]

    def get(self, path: str) -> Entry[T] | None:
        """Return the entry of a file, if it has one."""
        return self._entries.get(path)

    def make(self, path: str) -> Entry[T]:
        """Return the entry of a file; a new one if it has none."""
        return self._entries.setdefault(path, Entry())

    def add_last_good(self, path: str, item: T) -> None:
        """Note that *item* is one of the last good items of a file."""
        self.make(path).last_good += (item,)
        self._index.add(path, (self._name_of(item),))

    def names(self, path: str) -> frozenset[str]:
        """Return the names of a file, of its newest and of its last good items."""
        entry = self._entries[path]
        if entry.is_installed or not entry.items:
            return frozenset(map(self._name_of, entry.last_good))
        return frozenset(map(self._name_of, (*entry.items, *entry.last_good)))

    def reindex(self, path: str, before: frozenset[str]) -> None:
        """Update the index after a change of the entry of *path*, which had the names *before*."""
        after = self.names(path)
        self._index.discard(path, before - after)
        self._index.add(path, after - before)

    def remove(self, path: str) -> frozenset[str]:
        """Remove a file; return the names that it had."""
        names = self.names(path)
        self._index.discard(path, names)
        del self._entries[path]
        return names

    def connected(self, paths: Iterable[str], names: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return all files and names that are connected with *paths* and *names* by a name."""
        left, found, waiting = set(names), set[str](), [each for each in paths if each in self]
        seen = set[str]()
        while waiting or left:
            for path in waiting:
                if path not in found:
                    found.add(path)
                    left |= self.names(path) - seen
            seen |= left
            waiting = [path for name in left for path in self._index.paths(name)]
            waiting = [path for path in waiting if path not in found]
            left = set()
        return found, seen
