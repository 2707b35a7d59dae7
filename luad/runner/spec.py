"""The runner's configuration, and the `LaunchSpec` of an attempt that the keeper gets as JSON.

Rule: only this module converts a `StartAttempt` to plain values.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

from luad.core.model import SECOND, Isolation
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from luad.core.events import StartAttempt
    from luad.core.model import Instant, Job, Limits

_ALWAYS_PASSED: Final = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR")
"""Environment variables of the daemon that handlers see; they see no others."""

_PYTHON_VARIABLES: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX")

DEFAULT_ENVIRONMENT: Final = {"PYTHONUNBUFFERED": "1"}
"""The variables of every run, unless the `env` of its job replaces them.

Without this one, a Python program that a handler starts would buffer its output, and lose it at a time limit.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerConfig:
    """The configuration of the runner; *environ* is the daemon's own environment.

    *pass_env* are the names (or patterns) of variables that handlers may see besides the usual ones.
    *overdue_ms* is the time after its deadline for which a keeper may be silent. *permit_insecure*: import
    handlers that other users may write, too. *allowed*: patterns of the shipped handlers that a job made at
    run time may call.
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
    """`Limits` as JSON."""

    memory_bytes: int | None
    cpu_seconds: int | None
    open_files: int | None
    processes: int | None


class LaunchSpec(TypedDict):
    """All values that a keeper and its handler need."""

    handler: str
    job: dict[str, Any]  # the arguments of `luad.sdk.Job`, without the two that the keeper knows
    env: dict[str, str]  # added to the environment of the spawner
    cwd: str
    nice: int
    log_level: str
    limits: LimitSpec
    handlers_path: list[str]
    code_cache: str
    permit_insecure: bool
    allowed: list[str] | None  # patterns of the handlers that the job may call; None: all
    refusal: str  # the reason why the handler may not be called; empty if it may
    warm: bool  # a template may import the packages of the handler before the run
    learn: NotRequired[bool]  # report the packages; the keeper sets it
    timeout_ms: int | None
    kill_grace_ms: int
    output_limit: int
    line_limit: int
    result_limit: int


def passed_environment(environ: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """Return the part of the daemon's environment that handlers may see."""
    allowed = (*_ALWAYS_PASSED, *patterns)
    return {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in allowed)
    }


def interpreter_environment(environ: Mapping[str, str], pass_env: Iterable[str]) -> dict[str, str]:
    """Return the environment of a Python that imports handlers, to run or to check them.

    It has the variables of *environ* that handlers may see, and those that the interpreter may need to
    find luad; handlers do not see the latter.
    """
    python = {name: environ[name] for name in _PYTHON_VARIABLES if name in environ}
    # Without a locale, Python would set one for handlers and their programs as well.
    return {**python, "PYTHONCOERCECLOCALE": "0", **passed_environment(environ, pass_env)}


def constant_part(config: RunnerConfig) -> dict[str, object]:
    """Return the values that all specs share, made once to keep launches fast."""
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

    `LUAD_SHELL` distinguishes a shell that the job chose from the `SHELL` of the daemon's environment.
    """
    env = {**DEFAULT_ENVIRONMENT, **dict(job.env)}
    if "SHELL" in env:
        env["LUAD_SHELL"] = env["SHELL"]
    return env


def run_variables(
    job: str, run_id: str, attempt: int, scheduled_for: Instant, socket_path: str
) -> dict[str, str]:
    """Return the variables that identify a run to its handler."""
    env = {
        "LUAD_JOB": job,
        "LUAD_RUN_ID": run_id,
        "LUAD_ATTEMPT": str(attempt),
        "LUAD_SCHEDULED_FOR": format_instant(scheduled_for),
    }
    return {**env, "LUAD_SOCKET": socket_path} if socket_path else env


def variables_of(
    job: Job, run_id: str, attempt: int, scheduled_for: Instant, socket_path: str
) -> dict[str, str]:
    """Return the variables that identify a run of *job*; in a shared process they name no run."""
    if job.isolation is Isolation.SHARED:
        return {"LUAD_SOCKET": socket_path} if socket_path else {}
    return run_variables(job.name, run_id, attempt, scheduled_for, socket_path)


def build_spec(
    start: StartAttempt, constant: dict[str, object], socket_path: str
) -> dict[str, object]:
    """Return the `LaunchSpec` for one attempt. Times are milliseconds, sizes bytes."""
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
        "warm": job.warm,
        "timeout_ms": job.timeout_ms,
    }


def job_values(start: StartAttempt) -> dict[str, object]:
    """Return the arguments of `luad.sdk.Job` that are known before the process starts."""
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
