"""Checks that only luad's user and root can write to its handlers, state folder and settings.

A handler runs as luad's user, and the state folder and luad.yaml decide which handlers run. The rule is that of
job files (`luad.trust`). A violation prevents the start; at each later scan of the job files it is a problem
like theirs. Each import of a handler checks again.

Rule: this module checks and refuses; it changes nothing.
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
"""The files of the state folder that luad reads and acts on."""


def check_trust(settings: Settings) -> None:
    """Raise `SettingsError` for the first path that other users may write to, or that is missing."""
    folder = working_directory(settings)
    if not folder.is_dir():
        raise SettingsError(
            f"working_directory {folder} is not a folder", hint=f"run: mkdir -p {folder}"
        )
    for what, problem in TrustCheck(settings).found():
        raise SettingsError(
            f"{what} cannot be trusted: {problem.message}",
            hint=f"{problem.help}   (luad acts on its contents)",
            problems=(problem,),
        )


def permits_insecure(settings: Settings) -> bool:
    """Return whether `permit_insecure` is in force; a luad.yaml that others may write cannot set it."""
    source = settings.sources.get("permit_insecure", "")
    if not settings.permit_insecure or not _is_file(source):
        return settings.permit_insecure
    return path_problem(source, daemon_uid=os.geteuid()) is None


class TrustCheck:
    """Checks the files and folders that *settings* name, as often as it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._handlers = CodeTree(str(settings.handlers_path.absolute()))

    def problems(self) -> tuple[Problem, ...]:
        """Return the present problems, each as a problem of that file or folder."""
        forget_accounts()
        return tuple(
            replace(problem, message=f"{what} cannot be trusted: {problem.message}")
            for what, problem in self.found()
        )

    def found(self) -> Iterator[tuple[str, Problem]]:
        """Yield the kind of each untrusted file or folder, and its problem."""
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
    # A folder like /tmp is sound itself, but another user could create the handlers folder first.
    return replace(found, help=f"run: mkdir -p -m 755 {folder}")


def _of_state(folder: Path, user: int) -> Problem | None:
    there = _existing(folder)
    is_made_now = there != folder  # luad creates it, and owns it
    found = folder_problem(there, daemon_uid=user, may_be_sticky=is_made_now)
    for name in _STATE if found is None and not is_made_now else ():
        found = found or path_problem(folder / name, daemon_uid=user)
    return found


def _existing(folder: Path) -> Path:
    """Return *folder*, or its nearest parent that exists."""
    # Path.exists raises where luad may not look; the creation of the folder reports that better.
    return next(each for each in (folder, *folder.parents) if os.path.exists(each))  # noqa: PTH110


def settings_files(settings: Settings) -> list[str]:
    """Return the files that the settings come from."""
    return sorted({each for each in settings.sources.values() if _is_file(each)})


def _is_file(source: str) -> bool:
    return bool(source) and source != "flag" and not source.startswith("$")
