"""A sorted set of names that is cheap to change, and cheap to read from any place.

Rule: texts in, texts out. The names stand in short sorted lists, one after the other: a change moves the names
of one list only, and a place is found by halving.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Final

LONGEST: Final = 1_024
"""The number of names in a list; a longer list is cut in two."""

_MANY: Final = 8
"""More new names than one in so many are sorted with all the others, which is quicker than one by one."""


class SortedNames:
    """Distinct names in order."""

    __slots__ = ("_lasts", "_lists", "_size")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._lists: list[list[str]] = []
        self._lasts: list[str] = []  # the last name of each list
        self._size = 0
        self.update(names)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        return self.after("")

    def __contains__(self, name: str) -> bool:
        place = bisect_left(self._lasts, name)
        if place == len(self._lists):
            return False
        names = self._lists[place]
        return names[bisect_left(names, name)] == name

    def update(self, names: Iterable[str]) -> None:
        """Add *names*; many at once are sorted together with the present ones."""
        new = list(names)
        if len(new) * _MANY <= self._size:
            for name in new:
                self.add(name)
            return
        every = [name for part in self._lists for name in part]
        every += new
        every = list(dict.fromkeys(sorted(every)))
        half = LONGEST // 2
        self._lists = [every[start : start + half] for start in range(0, len(every), half)]
        self._lasts = [part[-1] for part in self._lists]
        self._size = len(every)

    def add(self, name: str) -> None:
        """Add *name*, unless it is present."""
        if name in self:
            return
        self._size += 1
        if not self._lists:
            self._lists.append([name])
            self._lasts.append(name)
            return
        place = min(bisect_left(self._lasts, name), len(self._lists) - 1)
        names = self._lists[place]
        insort(names, name)
        self._lasts[place] = names[-1]
        if len(names) > LONGEST:
            half = LONGEST // 2
            self._lists.insert(place + 1, names[half:])
            del names[half:]
            self._lasts.insert(place, names[-1])

    def remove(self, name: str) -> None:
        """Remove *name*, which must be present."""
        place = bisect_left(self._lasts, name)
        names = self._lists[place]
        at = bisect_left(names, name)
        assert names[at] == name, f"{name} is not here"
        del names[at]
        self._size -= 1
        if names:
            self._lasts[place] = names[-1]
        else:
            del self._lists[place]
            del self._lasts[place]

    def after(self, name: str) -> Iterator[str]:
        """Yield the names behind *name*, in order; the set must not change meanwhile."""
        place = bisect_right(self._lasts, name)
        if place == len(self._lists):
            return
        names = self._lists[place]
        yield from islice(names, bisect_right(names, name), None)
        for names in self._lists[place + 1 :]:
            yield from names

    def beginning(self, prefix: str) -> Iterator[str]:
        """Yield the names that begin with *prefix*, in order; the set must not change meanwhile."""
        if prefix and prefix in self:
            yield prefix
        yield from takewhile(lambda name: name.startswith(prefix), self.after(prefix))

    def rank(self, name: str) -> int:
        """Return the number of names before *name*."""
        place = bisect_left(self._lasts, name)
        before = sum(map(len, self._lists[:place]))
        return before + (bisect_left(self._lists[place], name) if place < len(self._lists) else 0)
