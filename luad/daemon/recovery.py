"""Restores the jobs of the previous daemon, and ends the runs that it left running.

Rule: the findings become events for the engine, as everything else does.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from luad.api.creation_rules import is_too_fast
from luad.config.jobs.checked_jobs import CheckedJobs, check_of
from luad.config.jobs.stored_jobs import job_from_store
from luad.core.events import AttemptEnded, Event, RemoveJob, Restored, StoredJob
from luad.core.model import SECOND, Ending, EndKind, Instant, Job, RunError, RunState
from luad.daemon import run_rules
from luad.errors import Problem, Severity
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from luad.api.service import DynamicRules
    from luad.config.jobs.catalogue import Catalogue
    from luad.core.engine import Engine
    from luad.core.model import Creation, Now, Origin, ProcessIdentity, Wanted
    from luad.core.state import Entry
    from luad.logs import Logging
    from luad.store import Store

PLACE: Final = "the store"
"""The place of a problem that is not in a file."""

_LOST: Final = RunError("Lost", "luad was stopped while this ran; its end is unknown")


class LeftOutJobs:
    """The stored dynamic jobs that are not in force, with their problems, until a client deletes them."""

    def __init__(self) -> None:
        self.version = 0  # changes with the jobs that are left out
        self._jobs: dict[str, Problem] = {}
        self._paused: dict[str, Problem] = {}

    def add(self, stored: StoredJob, problem: Problem) -> None:
        """Note that *stored* is not in force."""
        self._jobs[stored.job_id] = problem
        self.version += 1

    def add_paused(self, stored: StoredJob, problem: Problem) -> None:
        """Note that *stored* is in force but paused, because its handler is not allowed."""
        self._paused[stored.job_id] = problem
        self.version += 1

    def problems(self, find: Callable[[str], Entry | None]) -> tuple[Problem, ...]:
        """Return the problems of the left-out jobs, and of those that are still paused."""
        paused = (
            problem
            for job_id, problem in self._paused.items()
            if (entry := find(job_id)) is not None and entry.pause is not None
        )
        return (*self._jobs.values(), *paused)

    async def delete(self, name_or_id: str, store: Store, now: Instant) -> bool:
        """Delete the left-out jobs of that name or id; False if there is none."""
        meant = [
            RemoveJob(job_id, problem.job or "", now)
            for job_id, problem in self._jobs.items()
            if name_or_id in {job_id, problem.job}
        ]
        if not meant:
            return False
        await store.apply(meant)
        for each in meant:
            self._jobs.pop(each.job_id, None)
        self.version += 1
        return True


def jobs_in_force(
    waiting: deque[StoredJob],
    decode: Callable[[StoredJob], Job],
    allows: Callable[[str], bool],
    logs: Logging,
    left_out: LeftOutJobs,
    *,
    why: Callable[[str], str] = lambda _: "",
    now: Instant = 0,
) -> Iterator[tuple[StoredJob, Job]]:
    """Yield the stored jobs that can be decoded; log the others.

    A dynamic job that cannot be decoded is added to *left_out*, stays in the store, and is tried again
    at the next start. A dynamic job whose handler is not allowed (*allows*, *why* not) is in force but
    paused. *waiting* is emptied on the way, so that no row stays in memory longer than needed.
    """
    may = cache(allows)  # many jobs share few handlers, and each check reads the disk
    while waiting:
        stored = waiting.popleft()
        try:
            job = decode(stored)
        except ValueError as error:
            logs.emit("error", "job.unreadable", {"job": stored.name, "error": str(error)})
            if stored.creation is not None:  # a static job is read from its file again
                left_out.add(stored, _unreadable(stored.name, error))
            continue
        if stored.creation is not None and not may(job.handler):
            reason = why(job.handler)
            problem = run_rules.not_allowed(PLACE, job, reason)
            logs.emit("error", "job.refused", {"job": job.name, "error": problem.message})
            left_out.add_paused(stored, problem)
            stored = run_rules.paused(stored, reason, now)
        elif stored.creation is not None:
            stored = run_rules.resumed(stored)
        yield stored, job


def take_over(
    store: Store,
    engine: Engine,
    catalogue: Catalogue,
    rules: DynamicRules,
    left_out: LeftOutJobs,
    logs: Logging,
    now: Now,
    checked: Collection[int] = (),
) -> Restored:
    """Restore *engine* and *catalogue* from *store*; return what was restored, without the jobs.

    *checked*: the short hashes of the documents that this luad has checked before.
    """
    restored = store.restore()
    waiting = deque(restored.jobs)
    restored = replace(restored, jobs=())

    quick = CheckedJobs()

    def decode(stored: StoredJob) -> Job:
        must_match = stored.creation is None
        if must_match and check_of(stored.name, stored.revision, stored.definition) in checked:
            with suppress(
                ValueError, KeyError, TypeError, AttributeError
            ):  # else the slow way gives the reason
                return quick.build(stored.name, stored.definition, stored.revision)
        return job_from_store(stored.definition, stored.revision, must_match=must_match)

    jobs = jobs_in_force(
        waiting, decode, rules.allows, logs, left_out, why=rules.reason, now=now.wall
    )
    pinned = {
        run_id: job_from_store(definition, revision)
        for run_id, revision, definition in restored.pinned
    }
    engine.restore(jobs, restored, now, pinned)
    catalogue.seed(entry.wanted for entry in engine.entries.values())
    return restored


def _unreadable(name: str, error: ValueError) -> Problem:
    return Problem(
        PLACE,
        0,
        0,
        "LU308",
        f"the dynamic job `{name}` is not in force: its row cannot be read ({error})",
        f"luad delete {name} removes it; or restore luad.db from a backup",
        job=name,
    )


def lost_attempts(
    restored: Restored,
    now: Instant,
    kill_survivor: Callable[[str, ProcessIdentity | None], object],
    logs: Logging,
) -> list[Event]:
    """Return the ends of runs that the previous daemon left running; kill their processes.

    Many runs may have one process, a shared one.
    """
    events: list[Event] = []
    seen: set[ProcessIdentity] = set()
    for run in restored.open_runs:
        if run.state is not RunState.RUNNING:
            continue
        is_known = run.identity in seen
        if run.identity is not None:
            seen.add(run.identity)
        if not is_known and kill_survivor(run.id, run.identity):
            pid = None if run.identity is None else run.identity.pid
            fields = {"job": run.job_name, "run_id": run.id, "pid": pid}
            logs.emit("warning", "recovery.killed", fields)
        ending = Ending(EndKind.LOST, now, error=_LOST)
        events.append(AttemptEnded(run.id, run.attempt, ending))
    return events


def displaced_jobs(
    engine: Engine, wanted: Mapping[str, Wanted], names: Iterable[str]
) -> list[Problem]:
    """Return a warning for each dynamic job with one of *names* that *wanted* also declares."""
    return [
        _displaced(entry, made, origin)
        for name in names
        if name in wanted and (origin := wanted[name].origin) is not None
        for key in (name, *engine.nameless.get(name, ()))
        if (entry := engine.find(key)) is not None
        and (made := entry.wanted.creation) is not None
        and not entry.makes_room
    ]


def fast_jobs(engine: Engine, rules: DynamicRules, names: Iterable[str]) -> Iterator[Problem]:
    """Yield a warning for each dynamic job of *names* that is due more often than *rules* allow."""
    if not rules.min_interval_ms:
        return
    least = f"{rules.min_interval_ms / SECOND:g} s"
    for name in names:
        entry = engine.find(name)
        if entry is None or not entry.wanted.is_dynamic:
            continue
        if is_too_fast(rules, entry.job.schedule):
            yield Problem(
                PLACE,
                0,
                0,
                "LU405",
                f"the dynamic job `{name}` runs more often than every {least}; it goes on as before",
                f"a new job like it would be refused; give it a longer interval, or luad delete {name}",
                severity=Severity.WARNING,
                job=name,
            )


def _displaced(entry: Entry, made: Creation, origin: Origin) -> Problem:
    by = f" by {made.author}" if made.author else ""
    return Problem(
        origin.path,
        origin.line,
        1,
        "LU402",
        f"duplicate job name `{entry.job.name}`: the dynamic job {entry.job_id}, made{by} at "
        f"{format_instant(made.at)}, has it too; the dynamic job is paused, the job of the file is in force",
        f"rename the job of the file, or delete the dynamic job: luad delete {entry.job_id}",
        severity=Severity.WARNING,
        job=entry.job.name,
    )
