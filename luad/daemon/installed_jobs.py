"""Answers questions about the installed jobs, at the cost of what they return.

Rule: reads the engine between two turns, and changes nothing. A question that no index answers is answered in
parts: each call looks at a bounded number of jobs, and says where the next call goes on.
"""

from __future__ import annotations

from itertools import groupby, islice, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from luad.core.installed import JobHealth, JobStatus
from luad.core.job_index import Kind, Mark, before, in_order, key_at, place_of, size_of
from luad.core.model import RunState
from luad.core.names import is_over_for_a_day
from luad.core.sorted_names import SortedNames
from luad.live.job_choice import Found, JobCounts
from luad.live.job_state import JobStateView, health

if TYPE_CHECKING:
    from collections.abc import Collection

    from luad.core.engine import Engine
    from luad.core.job_index import Group
    from luad.core.model import Instant
    from luad.core.state import Entry
    from luad.live.job_choice import JobChoice
    from luad.live.recent_runs import RecentRuns

_MARK_OF: Final = {JobHealth.FAILING: Mark.FAILING, JobHealth.STALE: Mark.STALE}
_NEIGHBOURS: Final = 200
_MOST_LOOKED: Final = 2_000
_LONGEST_NAME: Final = 63


class InstalledJobs:
    """Implements `luad.api.service.Installed`."""

    def __init__(self, engine: Engine, recent_runs: RecentRuns) -> None:
        self._engine = engine
        self._recent_runs = recent_runs
        self._stale: tuple[int, tuple[str, ...]] = (-1, ())

    # --- one job ---

    def job(self, name_or_id: str) -> JobStateView | None:
        """Return the job of that exact name or id."""
        entry = self._engine.find(name_or_id)
        return self._view(entry) if entry else None

    def id_at(self, place: str) -> str | None:
        """Return the id of the job at that place in the order of names."""
        entry = self._engine.find(key_at(place))
        return None if entry is None else entry.job_id

    def at(self, place: str) -> JobStateView | None:
        """Return the job at that place in the order of names."""
        return self.job(key_at(place))

    def _view(self, entry: Entry) -> JobStateView:
        status, standing = entry.status, entry.standing
        following = self._engine.pending_of(entry) if status is JobStatus.ACTIVE else None
        running: tuple[str, ...] = ()
        queued = 0
        if self._engine.runs.open_count(entry.job_id):
            runs = self._engine.runs.of_job(entry.job_id)
            running = tuple(run.id for run in runs if run.state is RunState.RUNNING)
            queued = len(runs) - len(running)
        return JobStateView(
            entry.current,
            entry.job_id,
            entry.installed_at,
            entry.grid_at,
            entry.wanted.origin,
            entry.wanted.stale,
            status,
            entry.halt,
            entry.consecutive_failures,
            following.scheduled_for if following else None,
            following.fire_at if following else None,
            running,
            queued,
            entry.wanted.creation,
            entry.version,
            entry.alert.cause,
            standing.holds_name,
            standing.over_at,
        )

    # --- numbers ---

    def counts(self, now: Instant) -> JobCounts:
        """Return the numbers of all jobs and open runs."""
        count = self._sum
        runs = self._engine.runs
        running = runs.slots.taken_count
        return JobCounts(
            count(None, ""),
            count(Kind.STATUS, JobStatus.ACTIVE),
            count(Kind.STATUS, JobStatus.PAUSED),
            self._failing(now),
            count(Kind.MARK, Mark.STALE),
            count(Kind.STATUS, JobStatus.COMPLETED),
            running,
            runs.count - running,
        )

    def _sum(self, kind: Kind | None, value: str) -> int:
        facet = None if kind is None else (kind, value)
        return sum(
            self._engine.index.count(is_dynamic=is_dynamic, facet=facet)
            for is_dynamic in (False, True)
        )

    def _failing(self, now: Instant) -> int:
        """Return the number of failing jobs; it looks at those that are over or have been resumed."""
        failing = self._sum(Kind.MARK, Mark.FAILING)
        for place in in_order(self._of_all(Kind.MARK, [Mark.FAILED_AND_OVER]), ""):
            failing -= is_over_for_a_day(self._at(place).standing.over_at, now)
        for job_id in self._recent_runs.forgiven:
            entry = self._engine.find(job_id)
            if entry is not None and not entry.consecutive_failures:
                failing += not is_over_for_a_day(entry.standing.over_at, now)
        return failing

    def count(self, choice: JobChoice) -> int | None:
        """Return the number of jobs of *choice*; None if that takes a look at each of them."""
        groups, is_exact = self._candidates(choice)
        return sum(map(size_of, groups)) if is_exact else None

    # --- many jobs ---

    def search(self, choice: JobChoice, after: str, most: int) -> Found:
        """Look at up to *most* jobs behind the place *after*; return those of *choice*."""
        groups, is_exact = self._candidates(choice)
        places, to = list[str](), None
        if choice.prefix:
            after = max(after, before(choice.prefix))
        for number, place in enumerate(islice(in_order(groups, after), most + 1)):
            if number == most:
                return Found(places, to)
            to = place
            if not place.startswith(choice.prefix):
                break
            if is_exact or self._fits(self._at(place), choice):
                places.append(place)
        return Found(places, None)

    def _candidates(self, choice: JobChoice) -> tuple[list[Group], bool]:
        """Return the smallest groups that have all jobs of *choice*, and whether they have no others."""
        options: list[tuple[list[Group], bool]] = []
        if choice.statuses:
            options.append((self._groups(choice, Kind.STATUS, choice.statuses), True))
        if choice.users:
            options.append((self._groups(choice, Kind.USER, choice.users), True))
        if choice.tags:  # a job may have several of them
            options.append((self._groups(choice, Kind.TAG, choice.tags), len(choice.tags) == 1))
        has_rest = bool(choice.words or choice.prefix or choice.healths)
        if choice.healths and choice.healths <= _MARK_OF.keys():
            marks = [_MARK_OF[health] for health in choice.healths]
            options.append(([*self._groups(choice, Kind.MARK, marks), self._forgiven()], False))
        if not options:
            return self._groups(choice, None, ()), not has_rest
        groups, is_exact = min(options, key=lambda each: sum(map(size_of, each[0])))
        return groups, is_exact and len(options) == 1 and not has_rest

    def _groups(self, choice: JobChoice, kind: Kind | None, values: Collection[str]) -> list[Group]:
        if choice.is_dynamic is None:
            return self._of_all(kind, values)
        return self._engine.index.groups(is_dynamic=choice.is_dynamic, kind=kind, values=values)

    def _of_all(self, kind: Kind | None, values: Collection[str]) -> list[Group]:
        groups = self._engine.index.groups
        return [
            each
            for is_dynamic in (False, True)
            for each in groups(is_dynamic=is_dynamic, kind=kind, values=values)
        ]

    def _forgiven(self) -> SortedNames:
        """Return the places of jobs whose last run failed, and whose failures in a row were reset."""
        entries = map(self._engine.find, self._recent_runs.forgiven)
        return SortedNames(_place(entry) for entry in entries if entry is not None)

    def _at(self, place: str) -> Entry:
        return self._engine.entries[key_at(place)]

    def _fits(self, entry: Entry, choice: JobChoice) -> bool:
        job = entry.job
        is_dynamic = entry.wanted.is_dynamic
        return (
            (choice.is_dynamic is None or choice.is_dynamic is is_dynamic)
            and (not choice.statuses or entry.status in choice.statuses)
            and (not choice.tags or not choice.tags.isdisjoint(job.tags))
            and (not choice.users or job.user in choice.users)
            and (
                not choice.words
                or choice.words in f"{job.name} {job.description} {job.handler}".lower()
            )
            and (not choice.healths or self._health(entry) in choice.healths)
        )

    def _health(self, entry: Entry) -> JobHealth:
        last = self._recent_runs.last(entry.job_id)
        return health(entry.consecutive_failures, last, stale=entry.wanted.stale)

    def stale_files(self) -> tuple[str, ...]:
        """Return the broken files whose last good version is in force, in order."""
        version = self._engine.index.declared
        if self._stale[0] != version:
            entries = map(self._at, in_order(self._of_all(Kind.MARK, [Mark.STALE]), ""))
            found = {entry.wanted.origin.path for entry in entries if entry.wanted.origin}
            self._stale = version, tuple(sorted(found))
        return self._stale[1]

    def self_deleted(self, most: int) -> list[JobStateView]:
        """Return the first *most* static jobs that are paused until their file changes."""
        groups = self._of_all(Kind.MARK, [Mark.SELF_DELETED])
        return [self._view(self._at(place)) for place in islice(in_order(groups, ""), most)]

    # --- what fires next ---

    @property
    def is_behind(self) -> bool:
        """True while jobs that are due are fired in portions: `nearest` leaves them out until then."""
        return self._engine.is_behind

    def nearest(self, start: Instant, most: int, until: Instant | None = None) -> list[str]:
        """Return the keys of the active jobs that fire before *start*, and of the next *most* from then
        until *until*."""
        found: list[str] = []
        for at, keys in groupby(self._engine.soonest(), key=itemgetter(0)):
            if until is not None and at >= max(start, until):
                break
            for key in sorted(name for _, names in keys for name in names):
                entry = self._engine.entries[key]
                if entry.status is JobStatus.ACTIVE:
                    found.append(key)
                    most -= at >= start
                    if not most:
                        break
            if not most:
                break
        return found

    def first_to_fire(
        self, choice: JobChoice, start: Instant, most: int
    ) -> list[tuple[Instant, str]] | None:
        """Return the fire times and places of at least *most* jobs of *choice*, from *start* on.

        All jobs of the last instant are among them. None if that takes a look at very many jobs.
        """
        found: list[tuple[Instant, str]] = []
        looked, last = 0, start
        for at, keys in self._engine.soonest(start):
            if len(found) >= most and at != last:
                return found
            last = at
            looked += len(keys)
            if looked > _MOST_LOOKED:
                return None
            for key in keys:
                entry = self._engine.entries[key]
                if entry.status is JobStatus.ACTIVE and self._fits(entry, choice):
                    found.append((at, _place(entry)))
        return None

    # --- names ---

    def begun_name(self, prefix: str, most: int) -> tuple[list[str], int]:
        """Return the first *most* names that begin with *prefix*, and the number of all of them."""
        others = self._engine.nameless.items()
        without = sum(len(ids) for name, ids in others if name.startswith(prefix))
        count = self._engine.index.count_prefix(prefix) - without
        return self._names_with(prefix, most), count

    def begun_id(self, prefix: str, most: int) -> tuple[list[str], int]:
        """Return the keys of the first *most* jobs whose id begins so, and the number of all of them."""
        ids, count = self._engine.index.ids_with(prefix)
        entries = map(self._engine.find, islice(ids, most))
        return [entry.key for entry in entries if entry is not None], count

    def _names_with(self, prefix: str, most: int) -> list[str]:
        places = in_order(self._engine.index.every(), before(prefix))
        begun = takewhile(lambda place: place.startswith(prefix), places)
        return list(islice((place for place in begun if key_at(place) == place), most))

    def names_near(self, name: str) -> list[str]:
        """Return names that *name* may have been meant to be: its neighbours in the order of names."""
        near = dict[str, None]()
        for length in range(min(len(name), _LONGEST_NAME), 0, -1):
            near |= dict.fromkeys(self._names_with(name[:length], _NEIGHBOURS))
            if len(near) >= _NEIGHBOURS:
                break
        return list(near | dict.fromkeys(self._names_with("", _NEIGHBOURS)))


def _place(entry: Entry) -> str:
    return place_of(entry.job.name, entry.job_id, holds_name=entry.standing.holds_name)
