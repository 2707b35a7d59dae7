"""Refusal of handlers, job files and settings that another user may write.

The daemon refuses them as well. `luad test` must refuse them because root may call it.

Rule: it inspects files, imports none, and raises.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.cli.terminal.failure import CommandError
from luad.daemon.ownership import permits_insecure, settings_files
from luad.trust import path_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from luad.config.settings.daemon_settings import Settings
    from luad.errors import Problem

_NOT_TRUSTED: Final = ("LU03", "LU04")
_PERMIT: Final = "`LUAD_PERMIT_INSECURE=yes luad test ...` runs it all the same"


def refuse_untrusted(chosen: Settings, handler: str, job_file: Path | None = None) -> None:
    """Raise `CommandError` if another user may write luad.yaml, *job_file* or the module of *handler*."""
    if permits_insecure(chosen):
        return
    files = [Path(each) for each in settings_files(chosen)]
    files += [job_file] if job_file is not None else []
    files += _module_files(handler.partition(":")[0], chosen.handlers_path.absolute())
    for each in files:
        if problem := path_problem(each, daemon_uid=os.geteuid()):
            raise _refusal(f"{handler} is not run", problem)


def refuse_unread(name: str, problems: Iterable[Problem]) -> None:
    """Raise `CommandError` if the job *name* may be in a file or folder that luad did not read."""
    for each in problems:
        if each.code.startswith(_NOT_TRUSTED) and each.help.startswith("run: "):
            raise _refusal(f"`{name}` is not found in the files that can be trusted", each)


def _refusal(what: str, problem: Problem) -> CommandError:
    return CommandError(f"{what}: {problem.message}", hint=f"{problem.help}\n      {_PERMIT}")


def _module_files(module: str, root: Path) -> Iterator[Path]:
    """Yield the files below *root* that the import of *module* would run."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return
    for count in range(1, len(parts) + 1):
        stem = root.joinpath(*parts[:count])
        for suffix in (".py", ".pyc"):
            yield stem.with_name(stem.name + suffix)
            yield stem / f"__init__{suffix}"
        yield from stem.parent.glob(f"{stem.name}.*.so")
