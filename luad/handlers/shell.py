"""Run a command line, so that a crontab can move over unchanged.

``metadata``:

    command        a text, run by ``/bin/sh -c``; or a list, run as it is, without a shell.
                   ``SHELL`` in the job's ``env`` (or in ``env`` here) names another shell
    cwd            the folder to run in; ``~`` is the home folder (default: the run's own)
    env            names and values, added to the environment
    ok_exit_codes  exit codes that mean success (default: ``[0]``)

A list whose program does not exist is not tried again: a repetition would not find it either.

A ``%`` is a ``%``. cron turns it into a newline unless it is escaped; here ``date +%F`` is written
as in a terminal. The output goes to the log of the run, line by line; standard input is empty.

Rule: the standard library only.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from luad.handlers.parameters import MAPPING, TEXT, Parameters, schema
from luad.sdk.not_retryable import NotRetryable
from luad.sdk.params import params

TYPE_CHECKING = False  # `typing` costs 9 ms, which every run would pay
if TYPE_CHECKING:
    from typing import Any, Self

    from luad.sync import Job

_NOT_FOUND = 127
_MEANINGS = {126: "found, but not executable", _NOT_FOUND: "command not found"}
_CANNOT_START = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.ENOEXEC,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.E2BIG,
    }
)
"""What the system says of a program that is not there; all else may be otherwise later."""


class CommandFailedError(RuntimeError):
    """The command ended with an exit code that means failure, or by a signal."""


class CommandNotFoundError(CommandFailedError, NotRetryable):
    """The program of a command does not exist, or cannot be executed."""


class _Line(list[str]):
    """A command line with the shell that runs it; a plain list is run without one."""


@params(
    schema(
        "command",
        command={
            "type": ["string", "array"],
            "pattern": r"\S",
            "minItems": 1,
            "items": {"type": "string"},
            "examples": ["echo hello"],
        },
        cwd=TEXT,
        env=MAPPING,
        ok_exit_codes={
            "type": ["array", "null"],
            "minItems": 1,
            "items": {"type": "integer", "minimum": 0, "maximum": 255},
            "examples": [[0, 24]],
        },
    )
)
def run(job: Job) -> dict[str, Any]:
    """Run ``command``; raise `CommandFailedError` when it fails, naming exit code or signal."""
    asked = Parameters(job, "command", "cwd", "env", "ok_exit_codes")
    own = asked.mapping("env")
    command = _command(asked, own.get("SHELL") or os.environ.get("LUAD_SHELL") or "/bin/sh")
    accepted = _ok_exit_codes(asked)
    cwd = str(Path(asked.text("cwd")).expanduser()) if "cwd" in asked else None
    if cwd is not None and not Path(cwd).is_dir():
        asked.fail("cwd", f"{cwd} is not a folder")
    environ = {**os.environ, **own}
    environ.pop("LUAD_SHELL", None)  # for this handler, and for no command
    code = _run_to_its_end(command, cwd, environ)
    if code not in accepted:
        cause = _likely_cause(command, cwd, environ) if code == _NOT_FOUND else ""
        raise CommandFailedError(f"{_ending(code)}: {_shown(command)}{cause}")
    return {"exit_code": code}


def _command(asked: Parameters, shell: str) -> list[str]:
    words = asked.texts("command")
    if not words:
        asked.refuse("command", "is missing; write a command line such as `echo hello`")
    if isinstance(asked.raw("command"), str):
        return _Line((shell, "-c", words[0]))
    return words


def _ok_exit_codes(asked: Parameters) -> set[int]:
    codes = asked.raw("ok_exit_codes")
    if codes is None:
        return {0}
    if not isinstance(codes, list) or not codes or not all(_is_exit_code(code) for code in codes):
        asked.refuse("ok_exit_codes", f"write a list of numbers from 0 to 255, not {codes!r}")
    return set(codes)


def _is_exit_code(code: object) -> bool:
    return isinstance(code, int) and not isinstance(code, bool) and 0 <= code <= 255


def _start(command: list[str], cwd: str | None, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    sys.stdout.flush()  # or what was printed so far would come after the command's output
    sys.stderr.flush()
    try:
        return subprocess.Popen(  # noqa: S603 - running what the job's author wrote is the point
            command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"could not be started ({reason}): {_shown(command)}"
        if error.errno not in _CANNOT_START or (cwd is not None and error.filename == cwd):
            raise CommandFailedError(text) from error
        cause = _why_missing(command[0], cwd, environ)
        raise CommandNotFoundError(f"{text}; {cause}" if cause else text) from error


def _run_to_its_end(command: list[str], cwd: str | None, environ: dict[str, str]) -> int:
    # A stop that cut `Popen` short would leave a command that runs and that nobody knows.
    with _StopHeld() as stop:
        process = _start(command, cwd, environ)
        try:
            stop.let_through()
            return process.wait()
        except BaseException:
            # The run is being stopped. Pass it on and wait: the command has the same grace period
            # as any handler, and whoever stops us kills what is left of the group when it is over.
            process.terminate()
            process.wait()
            raise


class _StopHeld:
    """Holds the signal that stops a run until `let_through`, or until the block is left."""

    def __enter__(self) -> Self:
        self._is_stopped = False
        self._handler = signal.getsignal(signal.SIGTERM)
        # Only Python's own handlers raise where the main thread stands; the rest needs no holding.
        self._is_holding = (
            callable(self._handler) and threading.current_thread() is threading.main_thread()
        )
        if self._is_holding:
            signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, *_signal: object) -> None:
        self._is_stopped = True

    def let_through(self) -> None:
        """Give the signal back to its handler, which hears of what came meanwhile."""
        if self._is_holding:
            self._is_holding = False
            signal.signal(signal.SIGTERM, self._handler)
            if self._is_stopped:
                signal.raise_signal(signal.SIGTERM)

    def __exit__(self, *_error: object) -> None:
        self.let_through()


def _why_missing(word: str, cwd: str | None, environ: dict[str, str]) -> str:
    from luad.handlers.program import why_missing  # noqa: PLC0415 - only for an error

    return why_missing(word, environ.get("PATH"), cwd or os.getcwd())  # noqa: PTH109 - a str


def _likely_cause(command: list[str], cwd: str | None, environ: dict[str, str]) -> str:
    """Say what a shell has probably not found."""
    from luad.handlers.program import first_word  # noqa: PLC0415 - only for an error

    word = first_word(command[2]) if isinstance(command, _Line) else None
    cause = _why_missing(word, cwd, environ) if word is not None else ""
    path = environ.get("PATH", os.defpath)
    cause = cause or f"the output names what was not found; the run's PATH is {path}"
    return f"; {cause}"


def _ending(code: int) -> str:
    """Say how the command ended, as people say it."""
    if code < 0:
        return f"killed by {_signal_name(-code)}"
    if code in _MEANINGS:
        return f"exit code {code} ({_MEANINGS[code]})"
    if 128 < code <= 128 + signal.SIGRTMAX:  # how a shell passes on the end of its last command
        return (
            f"exit code {code} (what a shell says when {_signal_name(code - 128)} ended a command)"
        )
    return f"exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"


def _shown(command: list[str]) -> str:
    """The command on one line of bounded length."""
    if isinstance(command, _Line):
        text = command[2]
    else:
        import shlex  # noqa: PLC0415 - only for an error

        text = shlex.join(command)
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:199] + "…"
