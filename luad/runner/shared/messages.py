"""The messages between the daemon and a shared process, as values that JSON can carry.

Daemon to process: ``setup`` (once), ``run`` with several runs, ``stop``, ``ping``. Process to daemon: ``ready``,
``news`` of several runs, ``returned`` (runs that it has not begun), ``retire``, ``doomed``, ``pong``. Keeper to
daemon: ``output``, ``gone``; daemon to keeper: ``kill``.

Rule: values in, values out; opens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from luad.core.model import Ending, EndKind, RunError
from luad.runner.spec import job_values

if TYPE_CHECKING:
    from luad.core.events import StartAttempt
    from luad.runner.capture import Line
    from luad.runner.outcome import Outcome


class RunMessage(TypedDict):
    """One run, as the shared process gets it."""

    handler: str
    job: dict[str, Any]  # the arguments of `luad.sdk.Job`, without the two that the process knows
    is_bound: bool
    refusal: str
    timeout_ms: int | None
    log_level: str
    slot: int  # of `Begun`


class SetupMessage(TypedDict):
    """The values that all runs of a shared process have in common."""

    handlers_path: list[str]
    code_cache: str
    permit_insecure: bool
    allowed: list[str]
    cwd: str
    kill_grace_ms: int
    output_limit: int
    line_limit: int
    result_limit: int


class EndMessage(TypedDict, total=False):
    """The end of a run; a missing key has the default of `Ending`."""

    kind: str
    ts: int
    exit_code: int
    error: list[str]
    result: str
    is_result_truncated: bool
    result_omitted: str
    is_retryable: bool
    dropped_bytes: int
    left_tasks: int


class Item(TypedDict, total=False):
    """News of one run: its start, its lines, its end, in this order."""

    id: str
    attempt: int
    start: int
    lines: list[Line]
    end: EndMessage


def run_message(start: StartAttempt, slot: int) -> RunMessage:
    """Return the message for one attempt; the process marks *slot* when it begins it."""
    job = start.job
    return {
        "handler": job.handler,
        "job": job_values(start),
        "is_bound": start.is_bound,
        "refusal": start.refusal,
        "timeout_ms": job.timeout_ms,
        "log_level": job.log_level,
        "slot": slot,
    }


def setup_message(constant: dict[str, Any]) -> SetupMessage:
    """Return the message with the *constant* part of all launches."""
    return {key: constant[key] for key in SetupMessage.__annotations__}  # type: ignore[return-value] # the same keys


def end_message(outcome: Outcome, at: int, *, cause: str, timeout_ms: int | None) -> EndMessage:
    """Return the end of a run with *outcome*.

    *cause* is ``timed_out`` or ``cancelled`` if luad has stopped the run, else empty.
    """
    end: EndMessage = {"kind": cause or outcome.kind, "ts": at}
    failure = outcome.failure
    if cause:
        where = failure.traceback if failure is not None else ""
        end["error"] = stopped_error(cause, timeout_ms, where)
    elif failure is not None:
        end["error"] = [failure.type, failure.message, failure.traceback]
    if not cause:
        end["exit_code"] = {"returned": 0, "exited": outcome.exit_code or 0}.get(outcome.kind, 1)
    if outcome.result_json is not None:
        end["result"] = outcome.result_json
    if outcome.is_result_truncated:
        end["is_result_truncated"] = True
    if outcome.result_omitted:
        end["result_omitted"] = outcome.result_omitted
    if not outcome.is_retryable:
        end["is_retryable"] = False
    if outcome.left_tasks:
        end["left_tasks"] = len(outcome.left_tasks)
    return end


def stopped_error(
    cause: str, timeout_ms: int | None, where: str = "", *, was_killed: bool = False
) -> list[str]:
    """Return type, message and traceback of a run that luad has stopped."""
    killed = "; its shared process had to be killed" if was_killed else ""
    if cause == "timed_out":
        limit = f"{(timeout_ms or 0) / 1000:g} s"
        return ["TimedOut", f"the handler ran longer than its timeout of {limit}{killed}", where]
    return ["Cancelled", f"the run was cancelled{killed}", where]


def ending_of(end: EndMessage) -> Ending:
    """Return the `Ending` that *end* reports."""
    error = end.get("error")
    return Ending(
        kind=EndKind(end["kind"]),
        at=end["ts"],
        exit_code=end.get("exit_code"),
        error=RunError(*error) if error else None,
        result_json=end.get("result"),
        is_result_truncated=end.get("is_result_truncated", False),
        dropped_bytes=end.get("dropped_bytes", 0),
        result_omitted=end.get("result_omitted", ""),
        is_retryable=end.get("is_retryable", True),
        left_tasks=end.get("left_tasks", 0),
    )
