"""The command line as a process of its own, forked from one that has loaded it.

Most tests need what a command says and does, not its start. A fork saves the imports, which are most of the
processor time of a short command. Tests of the start itself run `python -m luad`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

OF_THE_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_")
"""Variables that begin so count when the interpreter starts."""

TIMEOUT_S = 60


class _Parent:
    """The process that forks, one of each test process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._folder = tempfile.TemporaryDirectory(prefix="luad-cli-")
        self.is_busy = threading.Lock()
        self.environ = of_the_start(dict(os.environ))
        atexit.register(self.close)

    def run(self, arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        streams = [str(Path(self._folder.name, name)) for name in ("out", "err")]
        request = {"arguments": arguments, "env": env, "cwd": os.getcwd(), "streams": streams}  # noqa: PTH109 - for another process
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        out, err = (Path(each).read_text("utf-8") for each in streams)
        return subprocess.CompletedProcess(["luad", *arguments], code, out, err)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()


_parent = cache(_Parent)


def run_luad(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command with the variables *env*, and return what it printed and its exit code."""
    parent = _parent()
    if of_the_start(env) == parent.environ and parent.is_busy.acquire(blocking=False):
        try:
            return parent.run(arguments, env)
        finally:
            parent.is_busy.release()
    command = [sys.executable, "-m", "luad", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=env, timeout=TIMEOUT_S, check=False
    )


def of_the_start(env: dict[str, str]) -> dict[str, str]:
    """Return the variables of *env* that a fork cannot change any more."""
    return {key: text for key, text in env.items() if key.startswith(OF_THE_START)}


# --- in the process that forks -------------------------------------------------------------------


def _serve() -> None:
    import luad.cli.commands.list_jobs
    import luad.cli.commands.show
    import luad.client  # noqa: F401 - loaded for the forks, as are the commands

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(request)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(request: dict[str, Any]) -> NoReturn:
    """Run a command in this process, which ends with it."""
    from luad import cli

    signal.alarm(TIMEOUT_S)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(request["streams"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.argv = ["luad", *request["arguments"]]
    code = 1
    try:
        code = cli.main()
    except BaseException:  # noqa: BLE001 - as at the top of a program
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
