"""Warnings for commands of which the program is not on the PATH of the run.

Rule: it looks for programs and starts none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.config.jobs.env_advice import SHELL_HANDLER
from luad.config.schema.locate import place_in
from luad.config.schema.violations import Mistake
from luad.config.settings.daemon_settings import working_directory
from luad.handlers.program import first_word, why_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from luad.config.settings.daemon_settings import Settings
    from luad.core.model import Job, Wanted
    from luad.errors import Problem
    from luad.watcher import FileVersion

_HELP: Final = "write the whole path of the program, or set PATH in `env` of the job"


def command_problems(
    chosen: Settings, wanted: Iterable[Wanted], files: Mapping[str, FileVersion]
) -> Iterator[Problem]:
    """Yield a warning, with its place in the file, for each command without its program."""
    folder = working_directory(chosen)
    for each in wanted:
        if each.job.handler != SHELL_HANDLER or each.origin is None:
            continue
        found = _mistake(each.job, folder)
        if found is not None:
            data = files[each.origin.path].data
            yield from place_in([found], each.origin, data, each.job.name)


def _mistake(job: Job, folder: Path) -> Mistake | None:
    command = job.metadata.get("command")
    path: tuple[str | int, ...] = ("metadata", "command")
    word = None
    if isinstance(command, str):
        word = first_word(command)
    elif isinstance(command, list) and command and isinstance(command[0], str):
        word, path = command[0], (*path, 0)
    if not word or "\0" in word:
        return None
    reason = why_missing(word, _path_of(job), str(_folder_of(job, folder)))
    return Mistake(path, "LU315", reason, _HELP, is_warning=True) if reason else None


def _path_of(job: Job) -> str | None:
    """Return the PATH of the job's runs, else that of this process; the daemon may have another."""
    of_command: object = job.metadata.get("env")
    if isinstance(of_command, dict) and isinstance(of_command.get("PATH"), str):
        return str(of_command["PATH"])
    return dict(job.env).get("PATH", os.environ.get("PATH"))


def _folder_of(job: Job, folder: Path) -> Path:
    named = job.metadata.get("cwd")
    return folder / Path(named).expanduser() if isinstance(named, str) and named else folder
