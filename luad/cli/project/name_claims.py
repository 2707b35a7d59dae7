"""The owner of a job name that two files declare: the file that the daemon has installed.

Without a daemon the database decides, as at the next start of the daemon. Without either, the first path
owns the name.

Rule: it asks the daemon only if two files declare one name.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.cli.project.target_daemon import connect
from luad.errors import LuadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from luad.cli.session import Session
    from luad.config.jobs.catalogue import Loaded
    from luad.config.settings.daemon_settings import Settings
    from luad.core.model import Wanted
    from luad.watcher import FileVersion

_CLASH: Final = "LU401"
_MOST_ASKED: Final = 50
_TIMEOUT_S: Final = 2


def load_like_daemon(
    session: Session, chosen: Settings, files: Mapping[str, FileVersion], loaded: Loaded
) -> Loaded:
    """Return *loaded* with the owner that the daemon has chosen for each name of two files."""
    names = sorted({each.job for each in loaded.problems if each.code == _CLASH and each.job})
    if not names:
        return loaded
    holders = _from_daemon(session, names[:_MOST_ASKED])
    if holders is None:
        from luad.store.sqlite.read_only import installed_places

        holders = installed_places(chosen.state_dir / "luad.db", names)
    in_force = _wanted_of(chosen, files, holders)
    if not in_force:
        return loaded
    from luad.clock import wall_ms
    from luad.config.jobs.catalogue import Catalogue

    catalogue = Catalogue(chosen)
    catalogue.take_over(in_force)
    again = catalogue.update(files, now=wall_ms())
    known = set(again.problems)
    folders = tuple(each for each in loaded.problems if not each.line and each not in known)
    return replace(again, problems=(*folders, *again.problems))


def _from_daemon(session: Session, names: Iterable[str]) -> dict[str, str] | None:
    """Return the installed file of each job; None if no daemon answers."""
    found: dict[str, str] = {}
    try:
        client = connect(session, timeout=_TIMEOUT_S)
        client.get("/status")
    except (LuadError, OSError):
        return None
    for name in names:
        with suppress(LuadError, OSError):
            file = client.get(f"/jobs/{name}").get("file") or {}
            if path := file.get("path"):
                found[name] = str(path)
    return found


def _wanted_of(
    chosen: Settings, files: Mapping[str, FileVersion], holders: Mapping[str, str]
) -> dict[str, Wanted]:
    """Return the installed jobs as their files declare them now."""
    from luad.config.jobs.job_file import load_file

    found: dict[str, Wanted] = {}
    for name, holder in holders.items():
        path = _shown_here(holder, files)
        if path is None:
            continue
        jobs = load_file(path, files[path].data, settings=chosen).jobs
        found.update({each.job.name: each for each in jobs if each.job.name == name})
    return found


def _shown_here(holder: str, files: Mapping[str, FileVersion]) -> str | None:
    """Return the key in *files* of the daemon's path *holder*; its working directory may differ."""
    place = os.path.realpath(holder)
    for path in files:
        if os.path.realpath(path) == place:
            return path
    if not Path(holder).is_absolute():
        tail = Path(holder).parts[-2:]
        return next((path for path in files if Path(path).absolute().parts[-2:] == tail), None)
    return None
