"""What is wrong with files and stored rows, as people are told: in the log once, in `luad status` while it is so.

Room rule: collects what others have found; finds nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.daemon.missing_references import Gone
from luad.daemon.recovery import LeftOut, displaced_jobs, fast_jobs
from luad.daemon.reloading import Reading, log_fields

if TYPE_CHECKING:
    from pathlib import Path

    from luad.api.service import DynamicRules
    from luad.core.engine import Engine
    from luad.daemon.user_directory import Directory
    from luad.errors import Problem
    from luad.logs import Logging


_MOST_TOLD: Final = 100


class Mistakes:
    """Of one daemon. *left_out*: stored jobs not in force; *bad_rows*: stored people that make no sense."""

    def __init__(
        self, engine: Engine, directory: Directory, logs: Logging, handlers_path: Path
    ) -> None:
        self.left_out = LeftOut()
        self.gone = Gone(engine, directory, logs, handlers_path)
        self.bad_rows: tuple[Problem, ...] = ()
        self._rules: DynamicRules | None = None
        self._fast: tuple[str, ...] = ()
        self._engine = engine
        self._directory = directory
        self._logs = logs
        self._told: frozenset[Problem] = frozenset()

    def note_fast_jobs(self, rules: DynamicRules) -> None:
        """Write down which restored dynamic jobs are due more often than new ones may be."""
        self._rules = rules
        found = fast_jobs(self._engine, rules, tuple(self._engine.entries))[:_MOST_TOLD]
        self._fast = tuple(each.job for each in found)
        for problem in found:
            self._logs.emit("warning", "config.problem", log_fields(problem))

    def tell(self, reading: Reading) -> None:
        """Write down what is wrong with *reading* and was not so with the one before."""
        found = self.aside(reading)
        for problem in found:
            if problem not in self._told:
                self._logs.emit(problem.severity.value, "config.problem", log_fields(problem))
        self._told = frozenset(found)
        self.gone.wish()

    def aside(self, reading: Reading) -> tuple[Problem, ...]:
        """What is wrong with *reading*, be it in force or not."""
        wanted = reading.loaded.wanted
        displaced = displaced_jobs(self._engine, wanted, wanted)
        return (*reading.problems, *displaced, *reading.users.problems)

    def of_files(self, reading: Reading | None) -> tuple[Problem, ...]:
        """What is wrong with the files, which *reading* was the last of, and with what they name."""
        entries = self._engine.entries
        wanted = reading.loaded.wanted if reading else {}
        return (
            *(reading.problems if reading else ()),
            *displaced_jobs(self._engine, wanted, tuple(self._engine.nameless)),
            *self._directory.problems(entries),
        )

    def all(self, reading: Reading | None) -> tuple[Problem, ...]:
        """The same, and what is wrong with the store."""
        found = (*self.of_files(reading), *self.gone.problems)
        fast = fast_jobs(self._engine, self._rules, self._fast) if self._rules else ()
        left_out = self.left_out.problems(self._engine.find)
        return (*found, *left_out, *self.bad_rows, *fast)
