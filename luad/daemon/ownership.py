"""Whether the places that luad takes its orders from are root's and its own alone.

A file among the handlers runs as luad, and the state folder and luad.yaml decide what runs. The rule is that
of job files (`luad.trust`). It is asked at the start, which it stops, and again at each scan of the job files,
where it is a problem like those of files; each import asks once more.

Room rule: looks, and refuses; changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.config.settings.daemon_settings import SettingsError, working_directory
from luad.trust import CodeTree, folder_problem, forget_accounts, path_problem

if TYPE_CHECKING:
    from luad.config.settings.daemon_settings import Settings
    from luad.errors import Problem

_STATE: Final = ("luad.db", "luad.db-wal", "luad.db-shm", "code-cache")
"""What luad reads back from its state folder, and acts on."""


def check_trust(settings: Settings) -> None:
    """Raise `SettingsError` for the first place that others may write to, or that is not there."""
    folder = working_directory(settings)
    if not folder.is_dir():
        raise SettingsError(
            f"working_directory {folder} is not a folder", hint=f"run: mkdir -p {folder}"
        )
    for what, problem in TrustCheck(settings).found():
        raise SettingsError(
            f"{what} cannot be trusted: {problem.message}",
            hint=f"{problem.help}   (luad acts on what stands there)",
            problems=(problem,),
        )


def permits_insecure(settings: Settings) -> bool:
    """Say whether `permit_insecure` holds: a luad.yaml that others may write cannot grant it."""
    source = settings.sources.get("permit_insecure", "")
    if not settings.permit_insecure or not _is_file(source):
        return settings.permit_insecure
    return path_problem(source, daemon_uid=os.geteuid()) is None


class TrustCheck:
    """Judges the places of *settings*, again and again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._handlers = CodeTree(str(settings.handlers_path.absolute()))

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with them now, each as a problem of that file."""
        forget_accounts()
        return tuple(
            replace(problem, message=f"{what} cannot be trusted: {problem.message}")
            for what, problem in self.found()
        )

    def found(self) -> Iterator[tuple[str, Problem]]:
        """Yield what each of them is, and what is wrong with it."""
        settings, user = self._settings, os.geteuid()
        if permits_insecure(settings):
            return
        for file in settings_files(settings):
            if found := path_problem(file, daemon_uid=user):
                yield "luad.yaml", found
        if found := _of_handlers(settings.handlers_path.absolute(), user):
            yield "the folder of handlers", found
        if found := _of_state(settings.state_dir.absolute(), user):
            yield "the state folder", found
        yield from (("a handler", each) for each in self._handlers.problems(user))


def _of_handlers(folder: Path, user: int) -> Problem | None:
    there = _existing(folder)
    found = folder_problem(there, daemon_uid=user)
    if (
        found is None
        or there == folder
        or folder_problem(there, daemon_uid=user, may_be_sticky=True)
    ):
        return found
    # A folder like /tmp: as it should be, but another user could make the handlers' there first.
    return replace(found, help=f"run: mkdir -p -m 755 {folder}")


def _of_state(folder: Path, user: int) -> Problem | None:
    there = _existing(folder)
    is_made_now = there != folder  # by luad, whose it is then
    found = folder_problem(there, daemon_uid=user, may_be_sticky=is_made_now)
    for name in _STATE if found is None and not is_made_now else ():
        found = found or path_problem(folder / name, daemon_uid=user)
    return found


def _existing(folder: Path) -> Path:
    """Return the folder, or where it would be made."""
    # Not Path.exists, which raises where luad may not look; making the folder will say so.
    return next(each for each in (folder, *folder.parents) if os.path.exists(each))  # noqa: PTH110


def settings_files(settings: Settings) -> list[str]:
    """Return the files that the settings come from."""
    return sorted({each for each in settings.sources.values() if _is_file(each)})


def _is_file(source: str) -> bool:
    return bool(source) and source != "flag" and not source.startswith("$")
