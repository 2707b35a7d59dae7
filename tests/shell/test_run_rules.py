"""The rules for the handlers of dynamic jobs at each start, and how often they read the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

from luad.api.service import DynamicRules
from luad.config.settings.allowed_handlers import DEFAULT_PATTERNS
from luad.core.events import StartAttempt
from luad.core.model import Interval, Job, Run, Trigger
from luad.daemon.run_rules import Binder


class CountedRules(DynamicRules):
    """Rules that count their looks at the disk."""

    looks: list[str] = []  # noqa: RUF012 - of the one test

    def refusal(self, handler: str):  # type: ignore[no-untyped-def] # noqa: ANN201 - that of the base
        self.looks.append(handler)
        return super().refusal(handler)


async def test_starts_of_one_moment_read_a_module_once_and_later_ones_anew(tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text("def run(job): ...\n")
    rules = CountedRules(DEFAULT_PATTERNS, tmp_path, "UTC", 0)
    bind = Binder(lambda _: None, rules)
    job = Job("a", "mine:run", Interval(1000))
    run = Run("run_1", "a", "job_1", "", Trigger.SCHEDULE, 0, 0, 0)
    assert all(bind(StartAttempt(run, job)).is_bound for _ in range(100))
    assert rules.looks == ["mine:run"]
    module.write_text("def other(job): ...\n")
    await asyncio.sleep(0)
    assert "does not define `run`" in bind(StartAttempt(run, job)).refusal
    assert rules.looks == ["mine:run"] * 2
