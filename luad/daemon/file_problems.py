"""The problems of files and stored rows: the log shows each once, `luad status` as long as it exists.

Rule: this module collects problems that other modules have found.
"""

from __future__ import annotations

from itertools import chain, islice
from operator import is_
from typing import TYPE_CHECKING, Final

from luad.api.service import Problems
from luad.core.job_index import Kind, Mark, in_order, key_at
from luad.daemon.file_reading import Reading
from luad.daemon.missing_references import MissingReferences
from luad.daemon.recovery import LeftOutJobs, displaced_jobs, fast_jobs
from luad.daemon.reloading import log_fields

if TYPE_CHECKING:
    from pathlib import Path

    from luad.api.service import DynamicRules
    from luad.core.engine import Engine
    from luad.core.model import Wanted
    from luad.daemon.user_directory import UserDirectory
    from luad.errors import Problem
    from luad.logs import Logging


_MOST_LOGGED: Final = 100


class FileProblems:
    """The problems of one daemon.

    *left_out*: stored jobs that are not in force. *bad_rows*: stored users that cannot be read.
    """

    def __init__(
        self, engine: Engine, directory: UserDirectory, logs: Logging, handlers_path: Path
    ) -> None:
        self.left_out = LeftOutJobs()
        self.missing = MissingReferences(engine, directory, logs, handlers_path)
        self.bad_rows: tuple[Problem, ...] = ()
        self._rules: DynamicRules | None = None
        self._fast: tuple[str, ...] = ()
        self._sources: tuple[object, ...] = ()  # what the problems were computed from
        self._versions: tuple[int, ...] = ()
        self._parts: tuple[tuple[Problem, ...], ...] = ()
        self._all = Problems()
        self._engine = engine
        self._directory = directory
        self._logs = logs
        self._logged: frozenset[Problem] = frozenset()

    def note_fast_jobs(self, rules: DynamicRules) -> None:
        """Log the restored dynamic jobs that are due more often than *rules* allow new jobs to be."""
        self._rules = rules
        dynamic = map(key_at, in_order(self._engine.index.groups(is_dynamic=True), ""))
        found = tuple(islice(fast_jobs(self._engine, rules, dynamic), _MOST_LOGGED))
        self._fast = tuple(each.job for each in found)
        for problem in found:
            self._logs.emit("warning", "config.problem", log_fields(problem))

    def log_new(self, reading: Reading) -> None:
        """Log the problems of *reading* that the previous reading did not have."""
        found = self._of_reading(reading)
        for problem in found:
            if problem not in self._logged:
                self._logs.emit(problem.severity.value, "config.problem", log_fields(problem))
        self._logged = frozenset(found)
        self.missing.request()

    def _of_reading(self, reading: Reading) -> tuple[Problem, ...]:
        """Return the problems of *reading*, which need not be in force."""
        wanted = {**self._declared(), **reading.wanted}
        wanted |= {name: item for name, item in reading.items.items() if item is not None}
        for name, item in reading.items.items():
            if item is None:
                wanted.pop(name, None)
        displaced = displaced_jobs(self._engine, wanted, wanted)
        return (*reading.problems, *displaced, *reading.users.problems)

    async def of_dry_run(self, reading: Reading) -> tuple[Problem, ...]:
        """Return what `of_reload` would return if *reading* were in force."""
        changed = [each for each in reading.items.values() if each is not None]
        kept = [each for each in self._missing_handlers() if each.job not in reading.items]
        return (*self._of_reading(reading), *kept, *await self.missing.of_files(changed))

    def of_files(self, reading: Reading | None) -> tuple[Problem, ...]:
        """Return the problems of the last *reading*, plus duplicate names and unknown users."""
        return (*(reading.problems if reading else ()), *self._of_names())

    def of_reload(self, reading: Reading | None) -> tuple[Problem, ...]:
        """Return the problems `of_files`, and the missing handlers that jobs of files name."""
        return (*self.of_files(reading), *self._missing_handlers())

    def _missing_handlers(self) -> list[Problem]:
        """Return the problems of handlers that jobs of files name and that do not exist."""
        return [each for each in self.missing.problems if each.line]

    def _of_names(self) -> tuple[Problem, ...]:
        """Return the problems of names that two jobs have, and of users."""
        wanted = self._declared()
        return (
            *displaced_jobs(self._engine, wanted, wanted),
            *self._directory.problems(self._engine),
        )

    def _declared(self) -> dict[str, Wanted]:
        """Return the jobs of files whose name a dynamic job also has."""
        entries, groups = self._engine.entries, self._engine.index.groups
        others = groups(is_dynamic=True, kind=Kind.MARK, values=[Mark.WITHOUT_NAME])
        names = (entries[key_at(place)].job.name for place in in_order(others, ""))
        holders = ((name, entries[name]) for name in names if name in entries)
        return {name: each.wanted for name, each in holders if each.wanted.origin is not None}

    def all(self, reading: Reading | None) -> Problems:
        """Return the problems of files, of missing references, and of the store.

        The result is computed again only after a change of what it is made from.
        """
        versions = (self._engine.index.version, self._directory.version, self.left_out.version)
        sources = (reading, self.missing.problems)
        is_same = all(map(is_, sources, self._sources)) and versions == self._versions
        if is_same and self._sources:
            return self._all
        self._sources, self._versions = sources, versions
        fast = fast_jobs(self._engine, self._rules, self._fast) if self._rules else ()
        parts = (
            reading.problems if reading else (),
            self._of_names(),
            self.missing.problems,
            self.left_out.problems(self._engine.find),
            self.bad_rows,
            tuple(fast),
        )
        if parts != self._parts:
            self._parts = parts
            self._all = Problems.of(tuple(chain.from_iterable(parts)))
        return self._all
