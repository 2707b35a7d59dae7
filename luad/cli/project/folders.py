"""The project one stands in: its luad.yaml, its job folders, its files.

Room rule: opens files and hands their bytes on; what they mean is `config`'s business.
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
"""Without this key luad.yaml need not be read for a client: YAML costs 50 ms."""


def settings_path(session: Session, jobs: Sequence[str] = ()) -> Path | None:
    """Find luad.yaml: the one named, the one here, the one beside the job folder, that of the project
    that the working folder is in, the system's."""
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
    """Return the project that this command is about, None when it stands in none."""
    named = _named_settings(session)
    return find_project() if named is None else project_of(named)


def settings_file(session: Session, jobs: Sequence[str] = ()) -> SettingsFile | None:
    """Read luad.yaml, None when there is none. Raises `CommandError` when it cannot be read."""
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
    """Return the settings in force here; raises `SettingsError`, or `CommandError` (settings)."""
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
    """Return where the daemon of a project listens; None where there is no project.

    Under systemd the runtime folder of the service is the place. Job folders that were named on the
    command line make no project: a client could not find it.
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
    """Return the zone of schedules that name none; cheap where there is no luad.yaml."""
    if settings_path(session) is None and not os.environ.get("LUAD_TIMEZONE"):
        return "UTC"
    return settings(session).timezone


def nearby_socket(session: Session) -> Path | None:
    """Return the socket that a daemon of this very project has; None outside of projects."""
    project = project_here(session)
    if project is None:
        return None
    # A broken luad.yaml must not keep anybody from a daemon that runs.
    with suppress(OSError, LuadError):
        if project.settings is not None and MOVES_SOCKET.search(project.settings.read_bytes()):
            return settings(session).socket.absolute()
    return project.socket(os.environ, os.geteuid())


def state_folders(session: Session) -> list[Path]:
    """Return the state folder that the settings here name, if they can be read and may be trusted.

    Another user that could write these settings could name a folder of its own there, and so could pose
    as a daemon.
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
    """Say whether the state folder is not just the one beside the job folder."""
    return "state_dir" in chosen.sources or bool(os.environ.get("STATE_DIRECTORY"))


def _is_safe(jobs: Path) -> bool:
    folder = jobs.absolute()
    return folder.is_dir() and folder_problem(folder, daemon_uid=os.geteuid()) is None


def snapshot(chosen: Settings) -> Snapshot:
    """Read the job folders of *chosen* as the daemon does. A folder that is missing is empty."""
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
    """Parse *files* as the daemon does; *problems* of the folders come first."""
    import gc
    from dataclasses import replace

    from luad.clock import wall_ms
    from luad.config.jobs.catalogue import Catalogue

    gc.disable()  # many objects are made and none is garbage; the process is short
    try:
        loaded = Catalogue(chosen).update(files, now=wall_ms())
    finally:
        gc.enable()
    return replace(loaded, problems=(*problems, *loaded.problems))
