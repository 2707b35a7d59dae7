"""Checks that handlers can be imported and called, for `luad check` and `luad doctor`.

Rule: no user code runs in this process. One helper process imports the handlers; if a module hangs or
kills it, another helper process continues with the rest.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from luad.clock import elapsed_ms
from luad.core.model import SECOND
from luad.runner.frames import CHUNK, FrameBuffer
from luad.runner.handler_params import MetadataMistake
from luad.runner.loading import Fault
from luad.runner.spec import interpreter_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from luad.core.model import JSON

_HANGS_HELP: Final = "an import should only define things; do the work inside the handler"


@dataclass(frozen=True, slots=True)
class HandlerInfo:
    """A handler that can be called. *place* is ``file:line``, empty if it has none.

    *mistakes* has, for each metadata in the request, the mistakes against the declared parameters; *params*
    is their JSON Schema, if the handler declares one that is not too large.
    """

    handler: str
    place: str
    takes_job: bool
    is_async: bool
    mistakes: tuple[tuple[MetadataMistake, ...], ...] = ()
    params: Mapping[str, JSON] | None = None


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """The reason why a handler cannot be called.

    *code* is LU301 (no such function), LU302 (import fails), LU303 (other arguments), LU304 (no such
    module), LU305 (import hangs) or LU306 (other users may write the module). *place* is ``file:line`` of
    the failing line of the user's code, *source* its text.
    """

    code: str
    message: str
    help: str = ""
    place: str = ""
    source: str = ""


Checked: TypeAlias = HandlerInfo | ImportProblem


def check_handlers(
    handlers: Sequence[str],
    *,
    handlers_path: Sequence[Path],
    timeout_s: float = 10.0,
    metadata: Mapping[str, Sequence[JSON]] | None = None,
    permit_insecure: bool = False,
    pass_env: Sequence[str] = (),
    cwd: Path | None = None,
) -> dict[str, Checked]:
    """Import each of *handlers* in another process, and return the result for each.

    *metadata* has, by handler, the metadata of its jobs. *timeout_s* is for each module. Modules that other
    users may write are not imported, unless *permit_insecure* is set. *pass_env* and *cwd* are those of runs,
    so that the process has the same environment and import path. Raises ``OSError`` if no process can be
    started.
    """
    groups: dict[str, list[str]] = {}
    for handler in dict.fromkeys(handlers):
        # With its colon: `jobs` is an entry point, and `jobs:run` a function of the module `jobs`.
        groups.setdefault("".join(handler.partition(":")[:2]), []).append(handler)
    roots = [str(path.absolute()) for path in handlers_path]
    checked: dict[str, Checked] = {}
    while groups:
        with _Helper(
            {
                "handlers_path": roots,
                "groups": groups,
                "metadata": dict(metadata or {}),
                "permit_insecure": permit_insecure,
            },
            interpreter_environment(os.environ, pass_env),
            cwd,
        ) as helper:
            stuck = helper.collect(checked, round(timeout_s * SECOND))
        if stuck is not None:
            module, problem = stuck
            checked.update(dict.fromkeys(groups[module], problem))
        groups = {
            module: left
            for module, members in groups.items()
            if (left := [handler for handler in members if handler not in checked])
        }
    return {handler: checked[handler] for handler in handlers}


class _Helper:
    """One helper process."""

    def __init__(
        self, request: Mapping[str, Any], environ: dict[str, str], cwd: Path | None
    ) -> None:
        self._request = json.dumps(request, default=dict).encode()  # a Mapping may be lazy
        self._environ = environ
        self._cwd = cwd

    def __enter__(self) -> Self:
        self._answers, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                [sys.executable, "-P", "-m", "luad.runner.import_worker", str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                cwd=self._cwd,
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except OSError:
            os.close(self._answers)
            raise
        finally:
            os.close(theirs)
        return self

    def __exit__(self, *_error: object) -> None:
        # The group includes processes that an import has started.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._answers)

    def collect(
        self, checked: dict[str, Checked], timeout_ms: int
    ) -> tuple[str, ImportProblem] | None:
        """Fill *checked*; return the module at which the helper stopped, and its problem, if any."""
        assert self._process.stdin is not None, "`__enter__` opens a pipe"
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(self._request)
        module, until = "", elapsed_ms() + timeout_ms
        buffer = FrameBuffer()
        while True:
            ready, _, _ = select.select(
                [self._answers], [], [], max(0, until - elapsed_ms()) / SECOND
            )
            if not ready and module:
                name = module.removesuffix(":")
                message = f"importing `{name}` takes longer than {timeout_ms / SECOND:g} s"
                return module, ImportProblem(Fault.IMPORT_HANGS.value, message, _HANGS_HELP)
            data = os.read(self._answers, CHUNK) if ready else b""
            if not data and not module:
                raise OSError(errno.ECHILD, f"{sys.executable} cannot run luad's import helper")
            if not data:
                return module, self._death(module)
            for frame in buffer.feed(data):
                if "done" in frame:
                    return None
                if "begin" in frame:
                    module, until = frame["begin"], elapsed_ms() + timeout_ms
                else:
                    handler = frame["handler"]
                    checked[handler] = _checked(frame)

    def _death(self, module: str) -> ImportProblem:
        code = self._process.wait()
        how = f"exits with {code}" if code >= 0 else f"is killed by {signal.Signals(-code).name}"
        message = f"importing `{module.removesuffix(':')}` failed: the process {how}"
        return ImportProblem(Fault.IMPORT_FAILED.value, message, _HANGS_HELP)


def _checked(frame: dict[str, Any]) -> Checked:
    kind = HandlerInfo if frame["is_fine"] else ImportProblem
    found = frame.get("mistakes", ())
    frame["mistakes"] = tuple(tuple(_mistake(one) for one in each) for each in found)
    return kind(**{key: value for key, value in frame.items() if key in kind.__slots__})


def _mistake(values: list[Any]) -> MetadataMistake:
    path, *rest = values
    return MetadataMistake(tuple(path), *rest)
