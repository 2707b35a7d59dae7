"""The project of the working directory: its luad.yaml, job folders and files.

Rule: it opens files and passes their bytes to `luad.config`, which parses them.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.cli.terminal.failure import CommandError
from luad.errors import LuadError
from luad.project_socket import (
    JOBS_NAME,
    SETTINGS_NAME,
    SYSTEM_FOLDER,
    Project,
    find_project,
    project_of,
)
from luad.trust import folder_problem, path_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.cli.session import Session
    from luad.config.jobs.catalogue import Loaded
    from luad.config.settings.daemon_settings import Settings, SettingsFile
    from luad.errors import Problem
    from luad.watcher import FileVersion, Snapshot

MOVES_SOCKET: Final = re.compile(rb"^socket\s*:", re.MULTILINE)
"""Only with this key a client must parse luad.yaml, which costs 50 ms."""


def settings_path(session: Session, jobs: Sequence[str] = ()) -> Path | None:
    """Return the path of luad.yaml, or None.

    The order: the named file, the working directory, the parent of the job folder, the project around the
    working directory, the system.
    """
    if named := _named_settings(session):
        return named
    places = [Path(), *(Path(folder).parent for folder in jobs[:1])]
    for place in places:
        if (place / SETTINGS_NAME).exists():
            return place / SETTINGS_NAME
    if jobs or Path(JOBS_NAME).exists():
        return None
    project = find_project()
    if project is not None and project.settings is not None:
        return project.settings
    system = SYSTEM_FOLDER / SETTINGS_NAME
    return system if system.exists() else None


def _named_settings(session: Session) -> Path | None:
    named = session.config or os.environ.get("LUAD_CONFIG")
    return Path(named) if named else None


def project_here(session: Session) -> Project | None:
    """Return the project of the named settings or of the working directory; None outside of projects."""
    named = _named_settings(session)
    return find_project() if named is None else project_of(named)


def settings_file(session: Session, jobs: Sequence[str] = ()) -> SettingsFile | None:
    """Return the content of luad.yaml, or None. Raises `CommandError` if it cannot be read."""
    path = settings_path(session, jobs)
    if path is None:
        return None
    from luad.config.settings.daemon_settings import SettingsFile

    try:
        return SettingsFile(str(path), path.read_bytes())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot read {path}: {reason}", code="settings") from error


def settings(session: Session, flags: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of this project; raises `SettingsError` or `CommandError` (settings)."""
    from luad.config.settings.daemon_settings import load_settings

    chosen = dict(flags or {})
    if session.socket is not None:
        chosen["socket"] = session.socket
    jobs = chosen.get("jobs") or ()
    is_system = not jobs and not os.environ.get("LUAD_JOBS") and not Path(JOBS_NAME).exists()
    file = settings_file(session, jobs)
    if is_system and file is None and (SYSTEM_FOLDER / JOBS_NAME).exists():
        chosen["jobs"] = (str(SYSTEM_FOLDER / JOBS_NAME),)
    own = _own_socket(file, jobs)
    return load_settings(chosen, os.environ, file, uid=os.geteuid(), own_socket=own)


def _own_socket(file: SettingsFile | None, jobs: Sequence[str]) -> Path | None:
    """Return the socket of the project's daemon; None without a project.

    Under systemd the daemon listens in the runtime directory of the service. Job folders on the command line
    are not a project, because a client could not find it.
    """
    if os.environ.get("RUNTIME_DIRECTORY"):
        return None
    if file is not None:
        project = project_of(Path(file.path))
    elif not jobs and not os.environ.get("LUAD_JOBS"):
        project = find_project()
    else:
        project = None
    return None if project is None else project.socket(os.environ, os.geteuid())


def default_timezone(session: Session) -> str:
    """Return the zone of schedules without one; reads the settings only if they exist."""
    if settings_path(session) is None and not os.environ.get("LUAD_TIMEZONE"):
        return "UTC"
    return settings(session).timezone


def nearby_socket(session: Session) -> Path | None:
    """Return the socket of this project's daemon; None outside of projects."""
    project = project_here(session)
    if project is None:
        return None
    # A broken luad.yaml must not hide a running daemon.
    with suppress(OSError, LuadError):
        if project.settings is not None and MOVES_SOCKET.search(project.settings.read_bytes()):
            return settings(session).socket.absolute()
    return project.socket(os.environ, os.geteuid())


def state_folders(session: Session) -> list[Path]:
    """Return the state folder of the settings here, unless they are unreadable or not trusted.

    Another user that may write the settings could name its own folder there, and answer as a daemon.
    """
    with suppress(OSError, LuadError):
        path = settings_path(session)
        if path is not None and path_problem(path.absolute(), daemon_uid=os.geteuid()) is not None:
            return []
        chosen = settings(session)
        if _is_named(chosen) or _is_safe(chosen.jobs[0]):
            return [chosen.state_dir]
    return []


def _is_named(chosen: Settings) -> bool:
    """Return True if the state folder was chosen, rather than the default beside the job folder."""
    return "state_dir" in chosen.sources or bool(os.environ.get("STATE_DIRECTORY"))


def _is_safe(jobs: Path) -> bool:
    folder = jobs.absolute()
    return folder.is_dir() and folder_problem(folder, daemon_uid=os.geteuid()) is None


def snapshot(chosen: Settings) -> Snapshot:
    """Return the files of the job folders as the daemon reads them; a missing folder is empty."""
    from luad.clock import wall_ms
    from luad.watcher import SnapshotReader

    folders = [folder for folder in chosen.jobs if folder.is_dir()]
    reader = SnapshotReader(
        folders, max_bytes=chosen.max_file_size, permit_insecure=chosen.permit_insecure
    )
    return reader.read(wall_ms(), is_settled=True)


def load(
    chosen: Settings, files: Mapping[str, FileVersion], problems: Sequence[Problem] = ()
) -> Loaded:
    """Return the jobs of *files* as the daemon parses them; the *problems* of the folders come first."""
    import gc
    from dataclasses import replace

    from luad.clock import wall_ms
    from luad.config.jobs.catalogue import Catalogue

    gc.disable()  # parsing makes many objects and no garbage; the process is short
    try:
        loaded = Catalogue(chosen).update(files, now=wall_ms())
    finally:
        gc.enable()
    return replace(loaded, problems=(*problems, *loaded.problems))
