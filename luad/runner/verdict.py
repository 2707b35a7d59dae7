"""From what was seen of a process' end to the name of that end.

Rule: values in, values out. Every way in which a run can end is a line of `_kind`.
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
_UNTOLD: Final = (
    "the process of the handler ended without a report; it closed luad's descriptor 3, replaced the"
    " program (os.exec) or left by os._exit"
)

Cause: TypeAlias = Literal["timed_out", "cancelled", "orphaned"]
"""Why the keeper stopped a run; orphaned means that the daemon has gone."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the keeper saw. *status* is from wait(2), *told* what the handler's process reported
    about itself (empty when nothing), *result* the JSON it sent."""

    status: int
    cause: Cause | None
    was_killed: bool
    told: dict[str, Any]
    result: bytes


def judge(facts: Facts, spec: LaunchSpec) -> dict[str, Any]:
    """The ``ended`` frame, without time and sizes."""
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
        "is_retryable": facts.told.get("is_retryable") is not False,
    }


def _kind(facts: Facts, signum: int | None) -> str:
    if facts.cause is not None:
        return "cancelled" if facts.cause == "orphaned" else facts.cause
    seen = "exited" if signum is None else "signalled"
    told = facts.told.get("kind")
    if told == "returned" and facts.status:
        return seen  # the process itself says otherwise; a handler can write to the descriptor, too
    return str(told) if told in ("returned", "raised", "not_started") else seen


def _result(facts: Facts, kind: str) -> dict[str, Any]:
    """The result, once more as JSON: a handler might have written anything."""
    omitted = facts.told.get("result_omitted")
    if not facts.told and facts.status == 0 and facts.cause is None:
        omitted = _UNTOLD
    found: dict[str, Any] = {
        "result": None,
        "is_result_truncated": bool(facts.told.get("is_result_truncated")),
        "result_omitted": omitted[:_MAX_OMITTED] if isinstance(omitted, str) else "",
    }
    if facts.told.get("has_result") and kind not in ("exited", "signalled"):
        try:
            found["result"] = json.dumps(read_json(facts.result), ensure_ascii=False)
        except ValueError as error:
            found["result_omitted"] = f"the result cannot be read back: {error}"[:_MAX_OMITTED]
    return found


def _error(kind: str, facts: Facts, spec: LaunchSpec, signum: int | None) -> list[str] | None:
    """Type, message and traceback of what went wrong."""
    told = facts.told.get("failure")
    texts = [str(text) for text in told] if isinstance(told, list) and len(told) == 3 else None
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
    if facts.told.get("kind") == "returned":
        return (
            f"the handler returned, but its process did not end before the timeout of {timeout}: "
            "it left threads running"
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
