"""A daemon as a process of its own, forked from one that has loaded luad.

Most tests need what a daemon does, not how it starts. A fork saves the imports, which are nearly all of the
processor time of a start. The daemon is a child of the test process, as one of `subprocess` is, with the folder,
the variables, the umask and the streams that the test gives it. Tests of the start itself, of memory and of
`/proc` use `LiveDaemon`, which runs `python -m luad serve`.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NoReturn

from luad.runner import prctl
from luad.runner.processes import children_of
from support.forked_cli import of_the_start
from support.live_daemon import PATIENCE_S, LiveDaemon

SET_CHILD_SUBREAPER = 36
MESSAGE_BYTES = 1 << 20


class ForkedDaemon(LiveDaemon):
    """`luad serve` as in `LiveDaemon`, without the time of its imports."""

    def begin(self, stderr: int) -> Any:
        python, _, _, *arguments = self.command()  # python -m luad ...
        parent = _parent()
        is_same = python == parent.python and of_the_start(self.env) == parent.environ
        if self.launcher or not is_same:
            return super().begin(stderr)
        return parent.fork(arguments, self.env, stderr)

    def refusal(self) -> subprocess.CompletedProcess[str]:
        """Start it, which must fail; return the exit code and what it wrote to stderr."""
        self.complaints = self.folder / "complaints"
        LiveDaemon.start(self, wait=False)
        code = self.process.wait(PATIENCE_S)
        return subprocess.CompletedProcess(self.command(), code, "", self.complaints.read_text())


class ForkedProcess:
    """A child of this process; its methods are those of `subprocess.Popen`."""

    def __init__(self, pid: int, stdout: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = os.fdopen(stdout, "rb")
        self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._pidfd)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            select.select([self._pidfd], [], [], timeout)
        code = self.poll()
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("luad serve", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class _Parent:
    """The process that forks, one of each test process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # `serve` in its command line, because the daemon has the same one.
        command = [sys.executable, "-m", "support.forked_daemon", "serve", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()], cwd=os.path.dirname(os.path.dirname(__file__)),  # noqa: PTH120 - a path of text
            )  # fmt: skip
        self.python = sys.executable
        self.environ = of_the_start(dict(os.environ))
        atexit.register(self.close)

    def fork(self, arguments: Sequence[str], env: dict[str, str], stderr: int) -> ForkedProcess:
        umask = os.umask(0)
        os.umask(umask)
        request = {"arguments": arguments, "env": env, "cwd": os.getcwd(), "umask": umask}  # noqa: PTH109 - for another process
        ours, theirs = os.pipe()
        # The daemon's parent ends at once, and only meanwhile does this process inherit orphans.
        before = children_of(os.getpid())
        _adopt_orphans(True)
        try:
            message = json.dumps(request).encode()
            socket.send_fds(self._socket, [message], [theirs, stderr])
            pid = int(self._socket.recv(100))
        finally:
            _adopt_orphans(False)
            os.close(theirs)
        for orphan in set(children_of(os.getpid())) - {*before, pid}:
            if _name_of(orphan).startswith("luad-"):  # of a daemon that was killed
                threading.Thread(target=os.waitpid, args=(orphan, 0), daemon=True).start()
        return ForkedProcess(pid, ours)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_parent = cache(_Parent)


def _name_of(pid: int) -> str:
    with suppress(OSError), open(f"/proc/{pid}/comm") as file:  # noqa: PTH123 - as luad reads it
        return file.read()
    return ""


def _adopt_orphans(is_wanted: bool) -> None:
    prctl._call(SET_CHILD_SUBREAPER, int(is_wanted))


# --- in the process that forks -------------------------------------------------------------------


def _serve(number: int) -> None:
    import luad.cli.commands.serve
    import luad.cli.project.folders
    import luad.daemon.launch  # noqa: F401 - loaded for the forks

    with socket.socket(fileno=number) as requests:
        while True:
            data, streams, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 2)
            if not data:
                return
            answer, told = os.pipe()
            middle = os.fork()
            if middle == 0:
                pid = os.fork()
                if pid == 0:
                    _become(json.loads(data), *streams)
                os.write(told, str(pid).encode())
                os._exit(0)
            os.waitpid(middle, 0)  # from here on the daemon is a child of the test process
            requests.send(os.read(answer, 100))
            for each in (answer, told, *streams):
                os.close(each)


def _become(request: dict[str, Any], stdout: int, stderr: int) -> NoReturn:
    """Run a daemon in this process, which ends with it."""
    from luad import cli

    code = 1
    try:
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        os.umask(request["umask"])
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.closerange(3, 1 << 16)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
        sys.path[0] = request["cwd"]
        sys.argv = ["luad", *request["arguments"]]
        code = cli.main()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - as at the top of a program
        traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    _serve(int(sys.argv[2]))
