"""What the runner is told by the daemon, and what it tells a keeper about an attempt, as JSON.

Rule: the one place where a `StartAttempt` becomes plain values.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict

from luad.core.model import SECOND
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from luad.core.events import StartAttempt
    from luad.core.model import Instant, Job, Limits

_ALWAYS_PASSED: Final = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR")
"""Environment variables of the daemon that handlers see; everything else stays with it."""


_PYTHON_VARIABLES: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX")

DEFAULT_ENVIRONMENT: Final = {"PYTHONUNBUFFERED": "1"}
"""What every run finds in its environment unless the `env` of its job says otherwise.

A Python program that a handler starts would else keep its output back, and lose it at a time limit.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerConfig:
    """What the runner has to know; sizes in bytes, *environ* is the daemon's own environment.

    *pass_env* are the names (or patterns) of variables that handlers may see besides the usual
    ones. *overdue_ms*: how long after its last chance a keeper may be silent. *permit_insecure*: import
    handlers that others may write, too. *allowed*: patterns of the handlers of luad's own that a job made
    at run time may lead to.
    """

    handlers_path: tuple[Path, ...]
    state_dir: Path
    socket_path: Path | None = None
    cwd: Path = Path("/")
    kill_grace_ms: int = 10 * SECOND
    output_limit_bytes: int = 262_144
    line_limit_bytes: int = 16_384
    result_limit_bytes: int = 262_144
    pass_env: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    overdue_ms: int = 15 * SECOND
    permit_insecure: bool = False
    allowed: tuple[str, ...] = ()


class LimitSpec(TypedDict):
    """`Limits`, as JSON."""

    memory_bytes: int | None
    cpu_seconds: int | None
    open_files: int | None
    processes: int | None


class LaunchSpec(TypedDict):
    """Everything that a keeper and its handler need to know."""

    handler: str
    job: dict[str, Any]  # the arguments of `luad.sdk.Job`, without the two that the keeper knows
    env: dict[str, str]  # on top of what the spawner was given
    cwd: str
    nice: int
    log_level: str
    limits: LimitSpec
    handlers_path: list[str]
    code_cache: str
    permit_insecure: bool
    allowed: list[str] | None  # patterns that the handler is bound to
    refusal: str  # why the handler may not be called; empty when it may
    timeout_ms: int | None
    kill_grace_ms: int
    output_limit: int
    line_limit: int
    result_limit: int


def passed_environment(environ: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """The part of the daemon's environment that handlers may see."""
    allowed = (*_ALWAYS_PASSED, *patterns)
    return {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in allowed)
    }


def interpreter_environment(environ: Mapping[str, str], pass_env: Iterable[str]) -> dict[str, str]:
    """Return the environment of a Python that imports handlers, to run or to check them.

    It sees what handlers may see of *environ*, and what the interpreter itself may need to find
    luad; handlers do not see the latter.
    """
    python = {name: environ[name] for name in _PYTHON_VARIABLES if name in environ}
    # Without a locale Python would invent one, for handlers and their programs as well.
    return {**python, "PYTHONCOERCECLOCALE": "0", **passed_environment(environ, pass_env)}


def constant_part(config: RunnerConfig) -> dict[str, Any]:
    """What is the same in all specs; made once, for a launch has to be quick."""
    return {
        "cwd": str(config.cwd.absolute()),
        "handlers_path": [str(path.absolute()) for path in config.handlers_path],
        "code_cache": str(config.state_dir.absolute() / "code-cache"),
        "permit_insecure": config.permit_insecure,
        "allowed": list(config.allowed),
        "kill_grace_ms": config.kill_grace_ms,
        "output_limit": config.output_limit_bytes,
        "line_limit": config.line_limit_bytes,
        "result_limit": config.result_limit_bytes,
    }


def own_environment(job: Job) -> dict[str, str]:
    """Return the variables of the job's own `env`, and those that every run has without it.

    `LUAD_SHELL` tells a shell that the job chose from the `SHELL` that the daemon was started with.
    """
    env = {**DEFAULT_ENVIRONMENT, **dict(job.env)}
    if "SHELL" in env:
        env["LUAD_SHELL"] = env["SHELL"]
    return env


def run_variables(
    job: str, run_id: str, attempt: int, scheduled_for: Instant, socket_path: str
) -> dict[str, str]:
    """Return the variables that tell a run which one it is."""
    env = {
        "LUAD_JOB": job,
        "LUAD_RUN_ID": run_id,
        "LUAD_ATTEMPT": str(attempt),
        "LUAD_SCHEDULED_FOR": format_instant(scheduled_for),
    }
    return {**env, "LUAD_SOCKET": socket_path} if socket_path else env


def build_spec(start: StartAttempt, constant: dict[str, Any], socket_path: str) -> dict[str, Any]:
    """The `LaunchSpec` for one attempt. Times are milliseconds, sizes bytes."""
    job, run = start.job, start.run
    env = own_environment(job)
    env |= run_variables(job.name, run.id, run.attempt, run.scheduled_for, socket_path)
    return {
        **constant,
        "handler": job.handler,
        "allowed": constant["allowed"] if start.is_bound else None,
        "refusal": start.refusal,
        "job": job_values(start),
        "env": env,
        "nice": job.nice,
        "log_level": job.log_level,
        "limits": _limits(job.limits),
        "timeout_ms": job.timeout_ms,
    }


def job_values(start: StartAttempt) -> dict[str, Any]:
    """The arguments of `luad.sdk.Job` that are known before the process starts."""
    job, run = start.job, start.run
    return {
        "name": job.name,
        "id": run.job_id,
        "description": job.description,
        "metadata": {**job.metadata, **(run.metadata or {})},
        "run_id": run.id,
        "trigger": run.trigger,
        "scheduled_for_ms": run.scheduled_for,
        "fire_at_ms": run.fire_at,
        "attempt": run.attempt,
        "max_attempts": job.retry.max_attempts,
        "missed_count": run.missed_count,
        "revision": run.revision,
        "tags": job.tags,
        "user_id": job.user,
    }


def _limits(limits: Limits) -> LimitSpec:
    return {
        "memory_bytes": limits.memory_bytes,
        "cpu_seconds": limits.cpu_seconds,
        "open_files": limits.open_files,
        "processes": limits.processes,
    }
