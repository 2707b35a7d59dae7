"""A worker in the process of a test, and what an owner would write and see."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from luad.clock import SystemClock
from luad.cluster.handler_code import HandlerCode
from luad.cluster.inbox import InboxRow, event_of
from luad.cluster.procrastinate_queue import ProcrastinateHandOver
from luad.cluster.store_clock import StoreClock
from luad.cluster.worker import Worker, WorkerParts
from luad.cluster.worker_rows import Identity, new_life
from luad.config.jobs.api_bodies import job_from_body
from luad.config.settings.store_target import Target
from luad.core.events import (
    AttemptEnded,
    ClaimRun,
    InstallJob,
    StartAttempt,
    StopAttempt,
)
from luad.core.model import Origin, Run, RunState, Trigger
from luad.daemon.masking import SecretMask
from luad.logs.redact import Redactor
from luad.runner.runners import Runners
from luad.runner.spec import RunnerConfig
from luad.store import record_writes
from luad.store.postgresql.connect import CHORES, Link

AT = 1_790_035_200_000
HAND_OVER = ProcrastinateHandOver()
WORK = """
import os
import signal
import time


def say(job):
    print("hello", job.metadata.get("name"), flush=True)
    return {"attempt": job.attempt}


def wait_for_file(job):
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
        time.sleep(0.05)


def hang(job):
    print("hanging", flush=True)
    signal.pause()
"""


class Bench:
    """A worker, and what an owner would see of it."""

    def __init__(self, folder: Path, url: str, engine: Engine) -> None:
        self.folder, self.url, self.engine = folder, url, engine
        self.lines: list[tuple[str, Mapping[str, object]]] = []
        self.handlers = folder / "handlers"
        self.handlers.mkdir()
        (self.handlers / "work.py").write_text(WORK)

    async def start(self) -> None:
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        target = Target.parse(self.url)
        self.life = new_life()
        parts = WorkerParts(
            Identity(self.life, "w1", ("default",), "0"),
            (Link(target, "luad w1", CHORES), Link(target, "luad w1 logs", CHORES)),
            {
                "conninfo": self.url, "words": {}, "queues": ["default"], "concurrency": 4,
                "name": "w1", "poll_s": 0.5,
            },
            lambda _stored, start: start,
            StoreClock(SystemClock()),
            lambda _, event, fields: self.lines.append((event, fields)),
            SecretMask(Redactor(()), {}),
            state,
            lost_after_ms=6_000,
            drain_ms=0,
            code=HandlerCode(self.handlers).digest,
        )  # fmt: skip
        self.worker = Worker(parts)
        config = RunnerConfig(handlers_path=(self.handlers,), state_dir=state, kill_grace_ms=500)
        self.runner = Runners(
            config,
            shared_processes=1,
            emit=self.worker.take_event,
            on_lines=self.worker.take_lines,
            log=lambda *_: None,
        )
        await self.worker.start(self.runner)

    async def signal_fetcher(self, number: int) -> None:
        """Send a signal to the fetcher once it fetches."""
        await self.until(lambda: self.worker.fetching.ready_for_s() > 0)
        pid = self.worker.fetching.pid
        assert pid is not None
        os.kill(pid, number)

    def claim(self, number: int, function: str = "say") -> None:
        """What an owner's turn writes."""
        body = {
            "name": f"job-{number}", "handler": f"work:{function}",
            "schedule": {"type": "cron", "expression": "* * * * *"}, "metadata": {"name": number},
        }  # fmt: skip
        job = job_from_body(body, timezone="UTC")
        run = Run(
            f"run_{number}", job.name, f"job_{number}", job.revision, Trigger.SCHEDULE,
            AT + number, AT, AT, RunState.RUNNING,
        )  # fmt: skip
        with self.engine.begin() as connection:
            install = InstallJob(run.job_id, job, Origin("x.yaml"), AT)
            record_writes.write(connection, [install, ClaimRun(run)], AT)
            HAND_OVER.offer(connection, [StartAttempt(run, job)])

    def publish_code(self, digest: str) -> None:
        """What the node writes that has published the jobs."""
        with self.engine.begin() as connection:
            words = {"digest": digest}
            note = "INSERT INTO meta (key, value) VALUES ('code_digest', :digest)"
            connection.execute(text(note), words)

    def stop(self, number: int) -> None:
        with self.engine.begin() as connection:
            HAND_OVER.stop(connection, [StopAttempt(f"run_{number}", 1)], AT)

    def reports(self) -> list[Any]:
        with self.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT seq, shard, kind, body_json FROM inbox ORDER BY seq")
            ).all()
        return [event_of(InboxRow(*row)) for row in rows]

    def ends(self) -> list[tuple[str, str]]:
        return [
            (each.run_id, each.ending.kind.value)
            for each in self.reports()
            if isinstance(each, AttemptEnded)
        ]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_so():  # noqa: ASYNC110 - of the server
                await asyncio.sleep(0.05)
