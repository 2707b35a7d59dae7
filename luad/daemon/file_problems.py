"""The problems of files and stored rows: the log shows each once, `luad status` as long as it exists.

Rule: this module collects problems that other modules have found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.daemon.missing_references import MissingReferences
from luad.daemon.recovery import LeftOutJobs, displaced_jobs, fast_jobs
from luad.daemon.reloading import Reading, log_fields

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
        self._engine = engine
        self._directory = directory
        self._logs = logs
        self._logged: frozenset[Problem] = frozenset()

    def note_fast_jobs(self, rules: DynamicRules) -> None:
        """Log the restored dynamic jobs that are due more often than *rules* allow new jobs to be."""
        self._rules = rules
        found = fast_jobs(self._engine, rules, tuple(self._engine.entries))[:_MOST_LOGGED]
        self._fast = tuple(each.job for each in found)
        for problem in found:
            self._logs.emit("warning", "config.problem", log_fields(problem))

    def log_new(self, reading: Reading) -> None:
        """Log the problems of *reading* that the previous reading did not have."""
        found = self.of_dry_run(reading)
        for problem in found:
            if problem not in self._logged:
                self._logs.emit(problem.severity.value, "config.problem", log_fields(problem))
        self._logged = frozenset(found)
        self.missing.request()

    def of_dry_run(self, reading: Reading) -> tuple[Problem, ...]:
        """Return the problems of *reading*, which need not be in force."""
        wanted = {**self._declared(), **reading.wanted}
        wanted |= {name: item for name, item in reading.items.items() if item is not None}
        for name, item in reading.items.items():
            if item is None:
                wanted.pop(name, None)
        displaced = displaced_jobs(self._engine, wanted, wanted)
        return (*reading.problems, *displaced, *reading.users.problems)

    def of_files(self, reading: Reading | None) -> tuple[Problem, ...]:
        """Return the problems of the last *reading*, plus duplicate names and unknown users."""
        entries, wanted = self._engine.entries, self._declared()
        return (
            *(reading.problems if reading else ()),
            *displaced_jobs(self._engine, wanted, wanted),
            *self._directory.problems(entries),
        )

    def _declared(self) -> dict[str, Wanted]:
        """Return the jobs of files whose name a dynamic job also has."""
        entries = self._engine.entries
        holders = ((name, entries[name]) for name in self._engine.nameless if name in entries)
        return {name: each.wanted for name, each in holders if each.wanted.origin is not None}

    def all(self, reading: Reading | None) -> tuple[Problem, ...]:
        """Return the problems of files, of missing references, and of the store."""
        found = (*self.of_files(reading), *self.missing.problems)
        fast = fast_jobs(self._engine, self._rules, self._fast) if self._rules else ()
        left_out = self.left_out.problems(self._engine.find)
        return (*found, *left_out, *self.bad_rows, *fast)
