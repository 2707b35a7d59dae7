"""All jobs and open runs of the store, as their rows say, for questions to any node.

Rule: it decides nothing, and `handle` is never called: the engines of the owners decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from luad.core.engine import Engine
from luad.core.model import RunState
from luad.core.state import Entry
from luad.core.stored_entry import stored_entry
from luad.core.timetable import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from luad.core.events import Restored, StoredJob
    from luad.core.model import Instant, Job, Now, Run
    from luad.core.state import Bounds


@dataclass(slots=True)
class Changes:
    """How a shard differs from what the mirror had. *ended*: the ids of runs that are not open any more."""

    installed: list[Entry] = field(default_factory=list)
    removed: list[Entry] = field(default_factory=list)
    claimed: list[Run] = field(default_factory=list)
    changed: list[Run] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


class Mirror(Engine):
    """The jobs and runs of all shards. *decode* returns None for a job that cannot be read."""

    def __init__(self, bounds: Bounds, now: Now, decode: Callable[[StoredJob], Job | None]) -> None:
        super().__init__(bounds, now)
        self._decode = decode
        self._jobs: dict[int, dict[str, StoredJob]] = {}
        self._open: dict[int, dict[str, Run]] = {}
        self.is_stale: Callable[[str], bool] = lambda _name: False
        """Returns True for a job whose file is broken, so that its last good version runs; no row has that."""

    def open_of(self, shard: int) -> Collection[str]:
        """Return the ids of the open runs of *shard*."""
        return self._open.get(shard, {}).keys()

    def show(self, shard: int, found: Restored, now: Instant) -> Changes:
        """Show *found*, the rows of a shard, from now on; return what differs."""
        changes = Changes()
        self._show_jobs(shard, {each.job_id: each for each in found.jobs}, changes)
        self._show_runs(shard, {each.id: each for each in found.open_runs}, changes)
        self._state.file_changed()
        self._state.out.clear()
        self.advance(now)
        return changes

    def advance(self, now: Instant) -> None:
        """Let each due job wait for its next occurrence: its owner fires it."""
        timetable = self._state.timetable
        for each in timetable.due(now):
            if isinstance(each, Group):
                timetable.begin(each)
                timetable.finish(each, now)

    def declared_anew(self, names: Iterable[str]) -> None:
        """Ask anew whether the files of these jobs are broken."""
        for name in names:
            entry = self._state.entries.get(name)
            if entry is not None and not entry.wanted.is_dynamic:
                wanted = replace(entry.wanted, stale=self.is_stale(name))
                self._state.set_wanted(entry, wanted)
        self._state.file_changed()

    def drain(self) -> None:
        """Note that the node stops."""
        self._state.is_draining = True

    def _show_jobs(self, shard: int, rows: Mapping[str, StoredJob], changes: Changes) -> None:
        state, before = self._state, self._jobs.get(shard, {})
        for job_id, row in before.items():
            entry = state.by_id(job_id)
            if entry is None or rows.get(job_id) == row:
                continue
            state.timetable.discard(entry.key)
            state.forget(entry)
            if job_id not in rows:
                changes.removed.append(entry)
        for job_id, row in rows.items():
            if before.get(job_id) == row:
                continue
            job = self._decode(row)
            if job is None:
                continue
            is_stale = row.creation is None and self.is_stale(job.name)
            entry = stored_entry(row, job, is_stale=is_stale)
            state.add(entry)
            state.arm(entry)
            was = before.get(job_id)
            if was is None or was.revision != row.revision:
                changes.installed.append(entry)
        self._jobs[shard] = dict(rows)

    def _show_runs(self, shard: int, rows: Mapping[str, Run], changes: Changes) -> None:
        runs, before = self._state.runs, self._open.get(shard, {})
        for run_id, run in before.items():
            if rows.get(run_id) != run:
                runs.refused(run_id)
            if run_id not in rows:
                changes.ended.append(run_id)
        new = [run for run_id, run in rows.items() if before.get(run_id) != run]
        runs.restore(new, self._state.timetable)
        for run in new:
            if run.state is RunState.RUNNING:
                runs.slots.take(run.id)
            (changes.changed if run.id in before else changes.claimed).append(run)
        self._open[shard] = dict(rows)
