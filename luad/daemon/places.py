"""Whether the places that luad takes its orders from are its own.

What stands in the folder of handlers runs as luad, and what stands in the state folder or in luad.yaml
decides what runs. The rule is that of job files. It is asked once, at the start: who could be let in later,
by a change of owner or mode, is let in by root or by luad's own user. New handler files are theirs as well.

Room rule: looks, and refuses; changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from luad.config.settings import SettingsError
from luad.watcher.safety import file_problem, folder_problem

if TYPE_CHECKING:
    from luad.config.settings import Settings
    from luad.errors import Problem


def check_places(settings: Settings) -> None:
    """Raise `SettingsError` for the first place that somebody else may write to."""
    if settings.permit_insecure:
        return
    for what, problem in _problems(settings):
        raise SettingsError(
            f"{what} cannot be trusted: {problem.message}",
            hint=f"{problem.help}   (luad acts on what stands there)",
            problems=(problem,),
        )


def _problems(settings: Settings) -> Iterator[tuple[str, Problem]]:
    user = os.geteuid()
    if found := _of_handlers(settings.handlers_path.absolute(), user):
        yield "the folder of handlers", found
    if found := _of_state(settings.state_dir.absolute(), user):
        yield "the state folder", found
    for file in _settings_files(settings):
        parent = folder_problem(file.parent, daemon_uid=user, may_be_sticky=True)
        if found := parent or _of_file(file, user):
            yield "luad.yaml", found
    for path in _handlers(settings.handlers_path):
        if found := _of_file(path, user):
            yield "a handler", found


def _of_handlers(folder: Path, user: int) -> Problem | None:
    there = _existing(folder)
    found = folder_problem(there, daemon_uid=user)
    if (
        found is None
        or there == folder
        or folder_problem(there, daemon_uid=user, may_be_sticky=True)
    ):
        return found
    # A folder like /tmp: as it should be, but whoever came first could make the handlers' there.
    return replace(found, help=f"run: mkdir -p -m 755 {folder}")


def _of_state(folder: Path, user: int) -> Problem | None:
    there = _existing(folder)
    is_made_now = there != folder  # by luad, whose it is then
    return folder_problem(there, daemon_uid=user, may_be_sticky=is_made_now)


def _existing(folder: Path) -> Path:
    """Return the folder, or where it would be made."""
    # Not Path.exists, which raises where we may not look; making the folder will say so.
    return next(each for each in (folder, *folder.parents) if os.path.exists(each))  # noqa: PTH110


def _settings_files(settings: Settings) -> set[Path]:
    sources = set(settings.sources.values())
    return {
        Path(each).absolute() for each in sources if each != "flag" and not each.startswith("$")
    }


def _handlers(folder: Path) -> Iterator[Path]:
    """Yield packages and modules, as far as they can be imported: not what is hidden."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each.isidentifier()]
        yield from (Path(parent, each) for each in folders)
        yield from (Path(parent, each) for each in files if each.endswith((".py", ".so", ".pyc")))


def _of_file(path: Path, user: int) -> Problem | None:
    try:
        status = path.stat()
    except OSError:
        return None  # whoever imports it will say why
    is_folder = stat.S_ISDIR(status.st_mode)
    return file_problem(str(path), status, daemon_uid=user, is_folder=is_folder)
