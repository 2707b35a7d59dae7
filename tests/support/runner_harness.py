"""A runner and what it reported, for tests: launch, then wait for events. Nothing is mocked."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luad.core.events import AttemptEnded, AttemptStarted, StartAttempt
from luad.core.model import Ending, Interval, Isolation, Job, ProcessIdentity, Run, Trigger
from luad.runner.processes import read_stat
from luad.runner.runner import Runner
from luad.runner.runners import Runners
from luad.runner.shared.pool import SharedRunner
from luad.runner.spec import RunnerConfig

HANDLERS = Path(__file__).parents[1] / "runner" / "handlers_pkg"
Key = tuple[str, int]


@dataclass(frozen=True)
class Finished:
    """One attempt from its launch to its ending."""

    ending: Ending
    lines: list[dict[str, Any]]
    identity: ProcessIdentity | None

    @property
    def result(self) -> Any:
        assert self.ending.result_json is not None, self.ending
        return json.loads(self.ending.result_json)

    @property
    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]


class Harness:
    """Keeps everything that a runner reports, and lets tests wait for it."""

    def __init__(self, config: RunnerConfig) -> None:
        self.config = config
        self.runner: Runner | Runners = self.make_runner(config)
        self.started: dict[Key, AttemptStarted] = {}
        self.ended: dict[Key, AttemptEnded] = {}
        self.lines: dict[Key, list[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    def make_runner(self, config: RunnerConfig) -> Runner | Runners:
        return Runner(config, emit=self._on_event, on_lines=self._on_lines)

    def launch(self, handler: str, **fields: Any) -> Key:
        """Launch an attempt of a job with *fields*; `run_*` fields are the run's."""
        run_fields = {key[4:]: fields.pop(key) for key in list(fields) if key.startswith("run_")}
        fields = {"name": "a-job", "timeout_ms": 20_000, **fields}
        job = Job(handler=handler, schedule=Interval(1000), **fields)
        run = Run(
            # No other luad on this machine has such a run: processes are ended by this name.
            id=f"run_{os.getpid()}_{next(self._numbers)}",
            job_name=job.name,
            job_id="job_1",
            revision="rev",
            trigger=Trigger.MANUAL,
            scheduled_for=1_000,
            fire_at=1_500,
            claimed_at=2_000,
        )
        run = replace(run, **run_fields)
        self.runner.launch(StartAttempt(run, job))
        return run.id, run.attempt

    async def run(self, handler: str, **fields: Any) -> Finished:
        """Launch, and wait for the end."""
        return await self.end_of(self.launch(handler, **fields))

    async def end_of(self, key: Key) -> Finished:
        await self.until(lambda: key in self.ended)
        started = self.started.get(key)
        identity = started.identity if started else None
        return Finished(self.ended[key].ending, self.lines.get(key, []), identity)

    async def start_of(self, key: Key) -> ProcessIdentity:
        await self.until(lambda: key in self.started or key in self.ended)
        return self.started[key].identity

    def keeper_of(self, key: Key) -> int:
        """The process that looks after a run that goes on."""
        keeper = self.runner._attempts[key].keeper
        assert keeper is not None
        assert keeper.process is not None
        return keeper.process.pid

    async def both_keepers(self) -> None:
        """Wait until there are two keepers, so that the next two runs have one each."""
        link = self.runner._spawners.link
        assert link is not None
        while sum(each.process is not None for each in link.keepers) < 2:
            await self.run("plain:nothing")

    async def without_keepers(self) -> None:
        """Kill the keepers, also those that are being made, and wait until the runner has noticed."""
        link = self.runner._spawners.link
        assert link is not None
        killed = list(link.keepers)
        while any(each.is_open and each.process is None for each in killed):
            await self.run("plain:nothing")
        for each in killed:
            if each.is_open and each.process is not None:
                with suppress(ProcessLookupError):
                    os.kill(each.process.pid, signal.SIGKILL)
        while any(each.is_open for each in killed):
            await self.run("plain:nothing")

    def keepers(self) -> list[int]:
        """The pids of the keepers."""
        link = self.runner._spawners.link
        assert link is not None
        return [each.process.pid for each in link.keepers if each.process and each.is_open]

    def forkers(self) -> list[int]:
        """The pids of the processes that fork the handlers."""
        link = self.runner._spawners.link
        assert link is not None
        return [each.forkers[0].pid for each in link.keepers if each.forkers and each.is_open]

    async def line_of(self, key: Key, message: str = "ready") -> None:
        """Wait until the handler has said *message*."""
        await self.until(
            lambda: any(line["message"] == message for line in self.lines.get(key, []))
        )

    async def until(self, is_true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_true():
                self._news.clear()
                await self._news.wait()

    def _on_event(self, event: AttemptStarted | AttemptEnded) -> None:
        key = (event.run_id, event.attempt)
        kept: dict[Key, Any] = self.started if isinstance(event, AttemptStarted) else self.ended
        assert key not in kept, f"reported twice: {event}"
        assert key not in self.ended, f"after the end: {event}"
        kept[key] = event
        self._news.set()

    def _on_lines(self, run_id: str, attempt: int, job: str, lines: list[dict[str, Any]]) -> None:
        assert (run_id, attempt) not in self.ended, "a line after the end"
        assert job
        self.lines.setdefault((run_id, attempt), []).extend(lines)
        self._news.set()


class SharedHarness(Harness):
    """The same for runs in shared processes; `reports` is what luad's own log gets."""

    def __init__(self, config: RunnerConfig, most: int = 2) -> None:
        self.most = most
        self.reports: list[tuple[str, str, dict[str, Any]]] = []
        super().__init__(config)

    def make_runner(self, config: RunnerConfig) -> Runners:
        return Runners(
            config,
            shared_processes=self.most,
            emit=self._on_event,
            on_lines=self._on_lines,
            log=self._on_report,
        )

    @property
    def shared(self) -> SharedRunner:
        assert isinstance(self.runner, Runners)
        return self.runner.shared

    def launch(self, handler: str, **fields: Any) -> Key:
        return super().launch(handler, **{"isolation": Isolation.SHARED, **fields})

    async def report_of(self, event: str, text: str = "") -> dict[str, Any]:
        """Wait for a line of luad's own log that holds *text*, and return its fields."""

        def found() -> list[dict[str, Any]]:
            return [each[2] for each in self.reports if each[1] == event and text in str(each[2])]

        await self.until(lambda: bool(found()))
        return found()[0]

    def _on_report(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.reports.append((level, event, fields))
        self._news.set()


def is_gone(pid: int) -> bool:
    """Has the process ended; a zombie has."""
    stat = read_stat(pid)
    return stat is None or stat.state == "Z"


def config(state_dir: Path, **fields: Any) -> RunnerConfig:
    """A configuration with little patience."""
    values = {"handlers_path": (HANDLERS,), "kill_grace_ms": 150, **fields}
    return RunnerConfig(state_dir=state_dir, **values)
