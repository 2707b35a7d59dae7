"""Decides from the end of a process how its run ended.

Rule: values in, values out. Each kind of ending is a line of `_kind`.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from luad.runner.result import read_json

if TYPE_CHECKING:
    from luad.runner.spec import LaunchSpec

_MAX_OMITTED: Final = 1_000
_NO_REPORT: Final = (
    "the process of the handler ended without a report; it closed luad's descriptor 3, replaced the"
    " program (os.exec) or left by os._exit"
)

Cause: TypeAlias = Literal["timed_out", "cancelled", "orphaned"]
"""The reason why the keeper stopped a run; orphaned means that the daemon is gone."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The observations of the keeper.

    *status* is from wait(2), *report* is the outcome that the handler's process sent (empty without one),
    *result* is its JSON.
    """

    status: int
    cause: Cause | None
    was_killed: bool
    report: dict[str, Any]
    result: bytes


def judge(facts: Facts, spec: LaunchSpec) -> dict[str, object]:
    """Return the ``ended`` frame, without time and sizes."""
    is_signalled = os.WIFSIGNALED(facts.status)
    signum = os.WTERMSIG(facts.status) if is_signalled else None
    kind = _kind(facts, signum)
    return {
        "t": "ended",
        "kind": kind,
        "exit_code": None if is_signalled else os.WEXITSTATUS(facts.status),
        "signal": signum,
        "error": _error(kind, facts, spec, signum),
        **_result(facts, kind),
        "is_retryable": facts.report.get("is_retryable") is not False,
    }


def _kind(facts: Facts, signum: int | None) -> str:
    if facts.cause is not None:
        return "cancelled" if facts.cause == "orphaned" else facts.cause
    seen = "exited" if signum is None else "signalled"
    reported = facts.report.get("kind")
    if reported == "returned" and facts.status:
        return seen  # the exit status contradicts the report, which a handler can forge
    return str(reported) if reported in ("returned", "raised", "not_started") else seen


def _result(facts: Facts, kind: str) -> dict[str, object]:
    """Return the result, decoded and encoded again, because a handler can write anything."""
    omitted = facts.report.get("result_omitted")
    if not facts.report and facts.status == 0 and facts.cause is None:
        omitted = _NO_REPORT
    found: dict[str, object] = {
        "result": None,
        "is_result_truncated": bool(facts.report.get("is_result_truncated")),
        "result_omitted": omitted[:_MAX_OMITTED] if isinstance(omitted, str) else "",
    }
    if facts.report.get("has_result") and kind not in ("exited", "signalled"):
        try:
            found["result"] = json.dumps(read_json(facts.result), ensure_ascii=False)
        except ValueError as error:
            found["result_omitted"] = f"the result cannot be read back: {error}"[:_MAX_OMITTED]
    return found


def _error(kind: str, facts: Facts, spec: LaunchSpec, signum: int | None) -> list[str] | None:
    """Return type, message and traceback of the failure; None without one."""
    failure = facts.report.get("failure")
    is_triple = isinstance(failure, list) and len(failure) == 3
    texts = [str(text) for text in failure or ()] if is_triple else None
    where = texts[2] if texts else ""
    if kind == "timed_out":
        return ["TimedOut", _how_stopped(_timeout_message(facts, spec), facts), where]
    if kind == "cancelled":
        return ["Cancelled", _how_stopped("the run was cancelled", facts), where]
    if kind == "signalled" and signum is not None:
        return [_signal_name(signum), _signal_message(signum, spec), where]
    return texts


def _timeout_message(facts: Facts, spec: LaunchSpec) -> str:
    timeout = f"{(spec['timeout_ms'] or 0) / 1000:g} s"
    if facts.report.get("kind") == "returned":
        return (
            f"the handler returned, but its process did not end before the timeout of {timeout}: "
            "it left threads or processes of `multiprocessing` running"
        )
    return f"the handler ran longer than its timeout of {timeout}"


def _how_stopped(message: str, facts: Facts) -> str:
    return f"{message}; it had to be killed" if facts.was_killed else message


def _signal_message(signum: int, spec: LaunchSpec) -> str:
    name = _signal_name(signum)
    seconds = spec["limits"]["cpu_seconds"]
    if signum == signal.SIGXCPU and seconds is not None:
        return f"the handler used more than {seconds} s of processor time ({name})"
    if signum == signal.SIGKILL:
        return f"the process was killed by {name}; when memory is short, the kernel does that"
    return f"the process was killed by {name}"


def _signal_name(signum: int) -> str:
    with suppress(ValueError):
        return signal.Signals(signum).name
    return f"signal {signum}"
