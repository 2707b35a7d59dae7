"""A run of `luad.handlers.shell` without a Python process: the keeper starts the command itself.

Only a plain run is started so: the metadata are valid, no `nice` is asked for, and the program of a command
with limits exists. Any other run takes the usual way, which has the better messages. The limits are set by a
shell that then executes the command; its text has only numbers of luad, and the command is its arguments.

Rule: the same records, output, signals and limits of time as a run in a Python process.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luad.clock import wall_ms
from luad.handlers.shell import Command, CommandFailedError, read_command, run
from luad.runner.child import OOM_SCORE, reset_policy, system_limits, yield_to_daemon
from luad.runner.forker_link import Handler
from luad.runner.handler_params import obeys
from luad.runner.outcome import describe_raised
from luad.runner.processes import read_stat
from luad.runner.supervision import Supervision
from luad.sdk.params import declared_params

if TYPE_CHECKING:
    from luad.runner.spec import LaunchSpec, LimitSpec
    from luad.runner.supervision import Host
    from luad.runner.verdict import Facts


_KIB: Final = 1_024

_ULIMITS: Final = {
    resource.RLIMIT_CPU: "ulimit -S -t {} && ulimit -H -t {}",
    resource.RLIMIT_NOFILE: "ulimit -n {}",
    # The letter for processes is not the same in all shells.
    resource.RLIMIT_NPROC: "{{ ulimit -u {0} 2>/dev/null || ulimit -p {0}; }}",
    resource.RLIMIT_AS: "ulimit -v {}",
}


class _JobOfCommand(NamedTuple):
    metadata: dict[str, Any]


def plain_command(spec: LaunchSpec) -> Command | None:
    """Return the command of a run that needs no Python process; None for any other run."""
    allowed = spec["allowed"]
    may_call = allowed is None or any(fnmatchcase(spec["handler"], each) for each in allowed)
    if spec["refusal"] or spec["nice"] or not may_call:
        return None
    metadata = spec["job"]["metadata"]
    try:
        if not obeys(declared_params(run), metadata):
            return None
        if "cwd" in metadata and not str(metadata["cwd"]).startswith("/"):
            return None  # a home folder, or one below the folder of the run
        command = read_command(_JobOfCommand(metadata), {**os.environ, **spec["env"]})
    except Exception:  # noqa: BLE001 - the usual way describes the mistake
        return None
    command.cwd = command.cwd or spec["cwd"]
    if not any(limit is not None for limit in spec["limits"].values()):
        return command
    return command if _is_program(command) else None


def _is_program(command: Command) -> bool:
    """Return True if a shell would execute the program of *command* as `Popen` does."""
    name, folder = command.words[0], command.cwd or "/"
    found = os.path.join(folder, name) if "/" in name else ""
    if not found:
        places = command.environ.get("PATH", os.defpath)
        found = shutil.which(name, path=places) or ""
    if not os.path.isabs(found) or not os.access(found, os.X_OK) or not os.path.isfile(found):
        return False
    try:
        with open(found, "rb") as file:
            return file.read(4).startswith((b"#!", b"\x7fELF"))
    except OSError:
        return False


def limited(words: list[str], limits: LimitSpec) -> list[str]:
    """Return the command line that sets *limits* and then executes *words*; *words* without limits."""
    steps = []
    for which, soft, hard in system_limits(limits):
        unit = _KIB if which == resource.RLIMIT_AS else 1
        steps.append(_ULIMITS[which].format(soft // unit, hard // unit))
    if not steps:
        return words
    return ["/bin/sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh", *words]


def start_command(command: Command, limits: LimitSpec) -> Handler | None:
    """Start the command with *limits*, in a session of its own; None if that is impossible."""
    pipes: list[int] = []
    try:
        pipes += os.pipe()
        pipes += os.pipe()
        reset_policy()  # which the command inherits
        process = subprocess.Popen(  # noqa: S603 - the author of the job chose the command
            limited(command.words, limits),
            cwd=command.cwd,
            env=command.environ,
            stdin=subprocess.DEVNULL,
            stdout=pipes[1],
            stderr=pipes[3],
            start_new_session=True,
        )
    except (OSError, ValueError):
        for descriptor in pipes:
            os.close(descriptor)
        return None
    finally:
        yield_to_daemon()
    process.returncode = 0  # the keeper waits for it, not this object
    os.close(pipes[1])
    os.close(pipes[3])
    pid = process.pid
    with suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "wb") as file:
        file.write(OOM_SCORE)
    stat = read_stat(pid)
    ticks = stat.start_ticks if stat else 0
    return Handler(pid, ticks, -1, pipes[0], pipes[2], os.pidfd_open(pid))


class CommandSupervision(Supervision):
    """Supervises a run whose process is *command* itself."""

    def __init__(
        self, host: Host, number: int, spec: LaunchSpec, handler: Handler, command: Command
    ) -> None:
        super().__init__(host, number, spec, handler)
        self._command = command

    def start(self) -> None:
        """Begin to read the pipes of the command, which runs already."""
        self._begin(wall_ms())

    def _facts(self, status: int) -> Facts:
        """Return the facts as a Python process would have reported them."""
        if self._cause is not None:
            return super()._facts(status)
        try:
            value = self._command.judge(os.waitstatus_to_exitcode(status))
        except CommandFailedError as error:
            failure = describe_raised(error)
            texts = [failure.type, failure.message, failure.traceback]
            self._outcome = {"kind": "raised", "failure": texts, "is_retryable": True}
            return super()._facts(1 << 8)
        self._outcome = {"kind": "returned", "has_result": True}
        self._result = bytearray(json.dumps(value).encode())
        return super()._facts(0)
