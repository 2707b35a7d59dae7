"""The installed jobs in order of names, and by what a question may ask for.

Rule: it files jobs, and decides nothing. The state files each changed job again at the end of the batch, so
between two batches the index equals a count over all jobs.

The *place* of a job is its name. The place of a job that does not hold its name is the name, a zero byte and
the id: it sorts directly behind the job that holds the name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from luad.core.sorted_names import SortedNames

if TYPE_CHECKING:
    from luad.core.installed import JobStatus
    from luad.core.model import Wanted

_BETWEEN: Final = "\0"
_LAST: Final = "\U0010ffff"


class Kind(StrEnum):
    """The keys of the index."""

    STATUS = "status"
    TAG = "tag"
    USER = "user"
    ALERTED = "alerted"  # a user that the job's own alert policy names
    HANDLER = "handler"
    MARK = "mark"


class Mark(StrEnum):
    """States of a job that a question counts."""

    STALE = "stale"  # the last good version of a broken file
    FAILING = "failing"  # failures in a row
    FAILED_AND_OVER = "failed_and_over"
    WITHOUT_NAME = "without_name"  # it wants its name back: another job holds it
    SELF_DELETED = "self_deleted"  # declared by a file, and paused until it has another revision


class Filed(NamedTuple):
    """The facts of a job that change while its declaration stays. Equal ones are one object."""

    status: JobStatus
    holds_name: bool
    marks: tuple[Mark, ...]


class Indexed(Protocol):
    """A job as the index sees it. Only the index writes *filed* and *filed_as*."""

    job_id: str
    wanted: Wanted
    filed: Filed | None
    filed_as: Wanted | None

    def to_file(self) -> Filed:
        """Return the present facts."""
        ...


Facet: TypeAlias = tuple[Kind, str]
Group: TypeAlias = SortedNames | str  # a place alone needs no set: many users have one job each


def place_of(name: str, job_id: str, *, holds_name: bool) -> str:
    """Return the place of a job in the order of names."""
    return name if holds_name else f"{name}{_BETWEEN}{job_id}"


def before(prefix: str) -> str:
    """Return a place behind which the first one is the first that begins with *prefix*, or follows those."""
    head, last = prefix[:-1], ord(prefix[-1:] or _BETWEEN)
    return f"{head}{chr(last - 1)}{_LAST}" if last else head


def key_at(place: str) -> str:
    """Return the name of the job at *place*, or its id if it does not hold its name."""
    return place.rpartition(_BETWEEN)[2]


class _Side:
    """The static jobs, or the dynamic ones."""

    def __init__(self) -> None:
        self.places = SortedNames()
        self.groups: dict[Kind, dict[str, Group]] = {kind: {} for kind in Kind}

    def put(self, new: dict[Facet | None, list[str]]) -> None:
        for facet, places in new.items():
            if facet is None:
                self.places.update(places)
                continue
            groups = self.groups[facet[0]]
            present = groups.get(facet[1])
            if present is None and len(places) == 1:
                groups[facet[1]] = places[0]
            elif isinstance(present, SortedNames):
                present.update(places)
            else:
                groups[facet[1]] = SortedNames([present, *places] if present else places)

    def take(self, facet: Facet, place: str) -> None:
        groups = self.groups[facet[0]]
        present = groups[facet[1]]
        if isinstance(present, SortedNames):
            present.remove(place)
            if len(present):
                return
        else:
            assert present == place, f"{place} is not filed here"
        del groups[facet[1]]


class JobIndex:
    """The places of all jobs, and of those with a status, tag, user, handler or mark.

    *version* changes with each change of a filed fact, *declared* only with a change of static jobs.
    """

    def __init__(self) -> None:
        self.version = 0
        self.declared = 0
        self.ids = SortedNames()
        self._sides = (_Side(), _Side())
        self._known: dict[Filed, Filed] = {}

    # --- reading ---

    def count(self, *, is_dynamic: bool, facet: Facet | None = None) -> int:
        """Return the number of static or dynamic jobs (with *facet*)."""
        side = self._sides[is_dynamic]
        if facet is None:
            return len(side.places)
        return size_of(side.groups[facet[0]].get(facet[1]))

    def values(self, kind: Kind, *, is_dynamic: bool) -> Collection[str]:
        """Return the values of *kind* that a job has; callers must not change them."""
        return self._sides[is_dynamic].groups[kind].keys()

    def groups(
        self, *, is_dynamic: bool, kind: Kind | None = None, values: Iterable[str] = ()
    ) -> list[Group]:
        """Return the sets of places of one side: of all its jobs, or of those with one of *values*."""
        side = self._sides[is_dynamic]
        if kind is None:
            return [side.places]
        groups = side.groups[kind]
        return [groups[value] for value in values if value in groups]

    def every(self) -> list[Group]:
        """Return the sets of places of all jobs."""
        return [side.places for side in self._sides]

    def count_prefix(self, prefix: str) -> int:
        """Return the number of places that begin with *prefix*."""
        end = f"{prefix}{_LAST}"
        return sum(side.places.rank(end) - side.places.rank(prefix) for side in self._sides)

    def ids_with(self, prefix: str) -> tuple[Iterator[str], int]:
        """Return the ids that begin with *prefix*, and their number; nothing may change meanwhile."""
        count = self.ids.rank(f"{prefix}{_LAST}") - self.ids.rank(prefix)
        return islice(self.ids.after(before(prefix)), count), count

    # --- changing ---

    def refile(self, entries: Iterable[Indexed]) -> None:
        """File *entries*, which are new or have changed."""
        new: tuple[dict[Facet | None, list[str]], ...] = (defaultdict(list), defaultdict(list))
        ids = []
        for entry in entries:
            facts = entry.to_file()
            facts = self._known.setdefault(facts, facts)
            if facts is entry.filed and entry.wanted is entry.filed_as:
                continue
            if entry.filed is None:
                ids.append(entry.job_id)
            self._refile(entry, facts, new)
        self.ids.update(ids)
        for side, found in zip(self._sides, new, strict=True):
            side.put(found)

    def _refile(
        self, entry: Indexed, facts: Filed, new: tuple[dict[Facet | None, list[str]], ...]
    ) -> None:
        wanted, was, was_as = entry.wanted, entry.filed, entry.filed_as
        place = place_of(wanted.job.name, entry.job_id, holds_name=facts.holds_name)
        facets = _facets(wanted, facts)
        had: dict[Facet, None] = {}
        is_new = was is None or was_as is None
        if was is not None and was_as is not None:
            had = _facets(was_as, was)
            old_place = place_of(was_as.job.name, entry.job_id, holds_name=was.holds_name)
            if old_place != place or was_as.is_dynamic is not wanted.is_dynamic:
                self._take_out(entry)
                had, is_new = {}, True
        side, found = self._sides[wanted.is_dynamic], new[wanted.is_dynamic]
        for facet in had.keys() - facets.keys():
            side.take(facet, place)
        for facet in facets.keys() - had.keys():
            found[facet].append(place)
        if is_new:
            found[None].append(place)
        entry.filed, entry.filed_as = facts, wanted
        self._note_change(wanted)

    def remove(self, entry: Indexed) -> None:
        """Remove a job, if it was filed."""
        if entry.filed is not None:
            self._take_out(entry)
            self.ids.remove(entry.job_id)
            entry.filed = entry.filed_as = None

    def _take_out(self, entry: Indexed) -> None:
        was, was_as = entry.filed, entry.filed_as
        assert was is not None
        assert was_as is not None
        side = self._sides[was_as.is_dynamic]
        place = place_of(was_as.job.name, entry.job_id, holds_name=was.holds_name)
        side.places.remove(place)
        for facet in _facets(was_as, was):
            side.take(facet, place)
        self._note_change(was_as)

    def _note_change(self, wanted: Wanted) -> None:
        self.version += 1
        self.declared += not wanted.is_dynamic


def in_order(groups: Sequence[Group], after: str) -> Iterator[str]:
    """Yield the distinct places of *groups* behind *after*, in order; nothing must change meanwhile."""
    found = [_after(group, after) for group in groups]
    if len(found) == 1:
        yield from found[0]
        return
    last = after
    for place in merge(*found):
        if place != last:
            yield place
        last = place


def _after(group: Group, place: str) -> Iterator[str]:
    if isinstance(group, SortedNames):
        return group.after(place)
    return iter((group,) if group > place else ())


def size_of(group: Group | None) -> int:
    """Return the number of places of a group."""
    return 0 if group is None else 1 if isinstance(group, str) else len(group)


def _facets(wanted: Wanted, facts: Filed) -> dict[Facet, None]:
    job = wanted.job
    found: dict[Facet, None] = {
        (Kind.STATUS, facts.status): None,
        (Kind.HANDLER, job.handler): None,
    }
    for tag in job.tags:
        found[Kind.TAG, tag] = None
    if job.user is not None:
        found[Kind.USER, job.user] = None
    if job.alert is not None:
        for user in job.alert.to:
            found[Kind.ALERTED, user] = None
    for mark in facts.marks:
        found[Kind.MARK, mark] = None
    return found
