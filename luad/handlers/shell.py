"""Runs a command line, so that the lines of a crontab need no change.

``metadata``:

    command        a text, run by ``/bin/sh -c``; or a list, run without a shell.
                   ``SHELL`` in the job's ``env`` (or in ``env`` here) names another shell
    cwd            the folder to run in; ``~`` is the home folder (default: the run's own)
    env            names and values, added to the environment
    ok_exit_codes  exit codes that mean success (default: ``[0]``)

luad does not retry a list whose program does not exist, because a retry would not find it either.

A ``%`` has no special meaning, unlike in a crontab: write ``date +%F`` as in a terminal. The output goes
to the log of the run, line by line; standard input is empty.

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
    from collections.abc import Mapping
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
"""Errors of the system for a program that does not exist; a retry may help after any other error."""


class CommandFailedError(RuntimeError):
    """The command ended with an exit code that means failure, or by a signal."""


class CommandNotFoundError(CommandFailedError, NotRetryable):
    """The program of a command does not exist, or cannot be executed."""


class _Line(list[str]):
    """A command line with the shell that runs it; a plain list runs without a shell."""


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
    """Run ``command``; raise `CommandFailedError` with the exit code or signal if it fails."""
    command = read_command(job, os.environ)
    return command.judge(_run_to_its_end(command.words, command.cwd, command.environ))


class Command:
    """A command line, its folder and environment, and the exit codes that mean success."""

    def __init__(
        self, words: list[str], cwd: str | None, environ: dict[str, str], accepted: set[int]
    ) -> None:
        self.words = words
        self.cwd = cwd
        self.environ = environ
        self._accepted = accepted

    def judge(self, code: int) -> dict[str, Any]:
        """Return the result for an exit code (negative: a signal), or raise `CommandFailedError`."""
        if code not in self._accepted:
            cause = _likely_cause(self.words, self.cwd, self.environ) if code == _NOT_FOUND else ""
            raise CommandFailedError(f"{_ending(code)}: {_shown(self.words)}{cause}")
        return {"exit_code": code}


def read_command(job: Any, environ: Mapping[str, str]) -> Command:
    """Return the command of *job*'s metadata, for a run with *environ*. Raises `BadParameterError`."""
    asked = Parameters(job, "command", "cwd", "env", "ok_exit_codes")
    own = asked.mapping("env")
    words = _command(asked, own.get("SHELL") or environ.get("LUAD_SHELL") or "/bin/sh")
    accepted = _ok_exit_codes(asked)
    cwd = str(Path(asked.text("cwd")).expanduser()) if "cwd" in asked else None
    if cwd is not None and not Path(cwd).is_dir():
        asked.fail("cwd", f"{cwd} is not a folder")
    whole = {**environ, **own}
    whole.pop("LUAD_SHELL", None)  # for this handler alone
    return Command(words, cwd, whole, accepted)


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
    sys.stdout.flush()  # so that earlier output comes before the command's output
    sys.stderr.flush()
    try:
        return subprocess.Popen(  # noqa: S603 - the author of the job chose the command
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
    # A stop during `Popen` would leave a running command that this handler does not know.
    with _StopHeld() as stop:
        process = _start(command, cwd, environ)
        try:
            stop.let_through()
            return process.wait()
        except BaseException:
            # The run is being stopped. Stop the command and wait: it has the same grace period as
            # any handler, and after that the keeper kills the rest of the group.
            process.terminate()
            process.wait()
            raise


class _StopHeld:
    """Holds the signal that stops a run until `let_through`, or until the block is left."""

    def __enter__(self) -> Self:
        self._is_stopped = False
        self._handler = signal.getsignal(signal.SIGTERM)
        # Only a Python handler raises in the main thread; other handlers need no holding.
        self._is_holding = (
            callable(self._handler) and threading.current_thread() is threading.main_thread()
        )
        if self._is_holding:
            signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, *_signal: object) -> None:
        self._is_stopped = True

    def let_through(self) -> None:
        """Restore the signal's handler, and raise the signal if it came meanwhile."""
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
    """Return the probable cause of a shell's exit code 127."""
    from luad.handlers.program import first_word  # noqa: PLC0415 - only for an error

    word = first_word(command[2]) if isinstance(command, _Line) else None
    cause = _why_missing(word, cwd, environ) if word is not None else ""
    path = environ.get("PATH", os.defpath)
    cause = cause or f"the output names the missing program; the run's PATH is {path}"
    return f"; {cause}"


def _ending(code: int) -> str:
    """Return a description of the exit code."""
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
    """Return the command on one line of limited length."""
    if isinstance(command, _Line):
        text = command[2]
    else:
        import shlex  # noqa: PLC0415 - only for an error

        text = shlex.join(command)
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:199] + "…"
