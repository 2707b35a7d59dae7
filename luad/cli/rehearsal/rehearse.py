"""A call of a handler in this process, under the time limit of its job.

Rule: it calls one handler once and returns the result; it prints nothing.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.clock import elapsed_ms, wall_ms
from luad.runner.basic_config import records_to
from luad.runner.execution import Interrupt, execute
from luad.runner.log_records import RecordHandler
from luad.runner.spec import own_environment, variables_of
from luad.sdk.job import Job as Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from luad.cli.rehearsal.run_environment import RunEnvironment
    from luad.core.model import Instant, Job
    from luad.json_text import JsonObject
    from luad.runner.outcome import Outcome

RUN_ID: Final = "run_test"
RESULT_LIMIT: Final = 256 << 10
BLOCKED: Final = re.compile(r"^Executing <.* took ([\d.]+) seconds$", re.DOTALL)
"""The message of asyncio's debug mode for a task that blocked its event loop."""

GRACE_SECONDS: Final = 10.0
"""The time between the request to stop and the end of the process."""


@dataclass(slots=True)
class Rehearsal:
    """The end of a call. *status*: completed, failed, timed_out or cancelled."""

    status: str
    duration_ms: int
    outcome: Outcome
    lines: list[JsonObject] = field(default_factory=list)

    @property
    def result(self) -> Any:
        """The value that the handler returned."""
        text = self.outcome.result_json
        return None if text is None else json.loads(text)

    @property
    def error(self) -> dict[str, str] | None:
        """The error with the keys of a run's error; None without one."""
        failure = self.outcome.failure
        if failure is not None:
            message = failure.message
            return {"type": failure.type, "message": message, "traceback": failure.traceback}
        if self.outcome.kind == "exited" and self.outcome.exit_code:
            return {
                "type": "SystemExit",
                "message": f"exit code {self.outcome.exit_code}",
                "traceback": "",
            }
        return None


@dataclass(frozen=True, slots=True)
class RunParameters:
    """The values of one call: the instant, the attempt, the path of handlers, the time limit."""

    scheduled_for: Instant
    attempt: int
    handlers_path: Sequence[str]
    timeout_ms: int | None
    environment: RunEnvironment
    must_debug: bool = False
    user: str | None = None


def rehearse(
    job: Job, parameters: RunParameters, on_line: Callable[[JsonObject], None]
) -> Rehearsal:
    """Return the end of one call of the job's handler; *on_line* gets each log record at once."""
    started, began = wall_ms(), elapsed_ms()
    context = Context(
        name=job.name,
        run_id=RUN_ID,
        scheduled_for_ms=parameters.scheduled_for,
        started_at_ms=started,
        deadline_ms=None if parameters.timeout_ms is None else started + parameters.timeout_ms,
        description=job.description,
        metadata=dict(job.metadata),
        attempt=parameters.attempt,
        max_attempts=max(job.retry.max_attempts, parameters.attempt),
        revision=job.revision,
        tags=job.tags,
        user_id=parameters.user or job.user,
    )
    interrupt = Interrupt()
    lines: list[JsonObject] = []

    def take(line: JsonObject) -> None:
        if line["logger"] == "asyncio" and (found := BLOCKED.search(line["message"])):
            line["message"] = f"the handler blocked its own event loop for {found[1]} s"
        lines.append(line)
        on_line(line)

    with (
        records_to(RecordHandler(take), job.log_level),
        _run_environment(job, parameters),
        _time_limit(parameters.timeout_ms, interrupt),
    ):
        outcome = execute(
            context,
            job.handler,
            interrupt,
            handlers_path=parameters.handlers_path,
            result_limit=RESULT_LIMIT,
            on_error=_debug if parameters.must_debug else None,
        )
    return Rehearsal(_status(outcome), elapsed_ms() - began, outcome, lines)


def _status(outcome: Outcome) -> str:
    if outcome.kind == "interrupted":
        return "timed_out"
    if outcome.failure is not None and outcome.failure.type == "KeyboardInterrupt":
        return "cancelled"
    is_good = outcome.kind == "returned" or (outcome.kind == "exited" and not outcome.exit_code)
    return "completed" if is_good else "failed"


def _debug(error: BaseException) -> None:
    import pdb  # noqa: T100 - the option --pdb

    pdb.post_mortem(error.__traceback__)


@contextmanager
def _run_environment(job: Job, parameters: RunParameters) -> Iterator[None]:
    """Set the environment, directory and arguments of a run during the block.

    asyncio's debug mode is on, because it reports handlers that block their event loop.
    """
    around = parameters.environment
    environ, folder, argv = dict(os.environ), Path.cwd(), sys.argv
    os.environ.clear()
    os.environ.update({"PYTHONASYNCIODEBUG": "1", **around.environ, **own_environment(job)})
    os.environ.update(
        variables_of(job, RUN_ID, parameters.attempt, parameters.scheduled_for, str(around.socket))
    )
    time.tzset()
    os.chdir(around.folder)
    sys.argv = [job.handler]
    try:
        yield
    finally:
        sys.argv = argv
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environ)
        time.tzset()


@contextmanager
def _time_limit(timeout_ms: int | None, interrupt: Interrupt) -> Iterator[None]:
    if timeout_ms is None:
        yield
        return

    def ring(*_: object) -> None:
        if interrupt.is_fired:
            os.write(2, b"luad: the handler does not stop; ending the process\n")
            os._exit(7)
        interrupt.fire()

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout_ms / 1000, GRACE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect the output of the handler and its processes to stderr; stdout is for the JSON."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
