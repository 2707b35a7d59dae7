"""Calls handlers in the process of a test, stops them, and collects their log records.

Rule: one handler at a time; this module knows neither store nor engine.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from luad.clock import elapsed_ms
from luad.core.model import Ending, EndKind, Instant, RunError
from luad.runner.basic_config import records_to
from luad.runner.execution import execute
from luad.runner.log_records import RecordHandler
from luad.runner.outcome import Failure, Outcome
from luad.runner.thread_interrupt import ThreadInterrupt
from luad.testing.isolation import Threads, process_of_a_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.core.model import Job
    from luad.sdk.job import JobCore

RESULT_LIMIT: Final = 256 << 10
_KINDS: Final = {
    "returned": EndKind.RETURNED,
    "raised": EndKind.RAISED,
    "not_started": EndKind.NOT_STARTED,
    "exited": EndKind.EXITED,
}


def call_handler(
    job: JobCore, definition: Job, interrupt: ThreadInterrupt, variables: Mapping[str, str]
) -> tuple[Outcome, list[dict[str, Any]]]:
    """Call the handler of *definition* with *job*; return its outcome and its log lines.

    Its environment has *variables*. Its changes to the process are undone.
    """
    lines: list[dict[str, Any]] = []
    keep = RecordHandler(lines.append)
    timeout_ms, began = definition.timeout_ms, elapsed_ms()
    limit = None
    if timeout_ms is not None:
        limit = threading.Timer(timeout_ms / 1_000, interrupt.fire)
        limit.start()
    try:
        with (
            process_of_a_run(variables),
            records_to(keep, definition.log_level),
            Threads() as threads,
        ):
            outcome = execute(
                job,
                definition.handler,
                interrupt,
                handlers_path=(),  # handlers are on the import path of the test
                result_limit=RESULT_LIMIT,
            )
            spent_ms = elapsed_ms() - began
            left = threads.wait(None if timeout_ms is None else timeout_ms - spent_ms)
    finally:
        if limit is not None:
            limit.cancel()
    if left and outcome.kind in {"returned", "exited"}:
        outcome = Outcome("interrupted", failure=Failure("TimedOut", _left_running(left)))
    return outcome, lines


def _left_running(threads: Sequence[str]) -> str:
    return (
        f"the handler returned, but left threads running: {', '.join(threads)}; a run waits for them "
        "until its timeout, so end them before the handler returns"
    )


def ending_of(outcome: Outcome, at: Instant, timeout_ms: int | None) -> Ending:
    """Return the `Ending` of an attempt for the engine."""
    failure = outcome.failure
    error = None
    if failure is not None:
        error = RunError(failure.type, failure.message, failure.traceback)
    if outcome.kind == "interrupted":
        message = f"the handler ran longer than its timeout of {(timeout_ms or 0) / 1_000:g} s"
        message = (failure.message if failure else "") or message
        where = failure.traceback if failure else ""
        return Ending(EndKind.TIMED_OUT, at, error=RunError("TimedOut", message, where))
    return Ending(
        _KINDS[outcome.kind],
        at,
        outcome.exit_code,
        error=error,
        result_json=outcome.result_json,
        is_result_truncated=outcome.is_result_truncated,
        result_omitted=outcome.result_omitted,
        is_retryable=outcome.is_retryable,
    )
