"""The project one stands in: its luad.yaml, its job folders, its files.

Room rule: opens files and hands their bytes on; what they mean is `config`'s business.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.cli.failure import CommandError
from luad.errors import LuadError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.cli.session import Session
    from luad.config.catalogue import Loaded
    from luad.config.settings import Settings, SettingsFile
    from luad.errors import Problem
    from luad.watcher import FileVersion, Snapshot

SETTINGS_NAME: Final = "luad.yaml"
SYSTEM_FOLDER: Final = Path("/etc/luad")
MOVES_SOCKET: Final = re.compile(rb"^(socket|state_dir)\s*:", re.MULTILINE)
"""Without these keys luad.yaml need not be read for a client: YAML costs 50 ms."""

LOCAL_SOCKET: Final = Path(".luad/luad.sock")


def settings_path(session: Session, jobs: Sequence[str] = ()) -> Path | None:
    """Find luad.yaml: the one named, the one here, the one beside the job folder, the system's."""
    if named := session.config or os.environ.get("LUAD_CONFIG"):
        return Path(named)
    places = [Path(), *(Path(folder).parent for folder in jobs[:1])]
    if not jobs and not Path("jobs.d").exists():
        places.append(SYSTEM_FOLDER)
    return next(
        (place / SETTINGS_NAME for place in places if (place / SETTINGS_NAME).exists()), None
    )


def settings_file(session: Session, jobs: Sequence[str] = ()) -> SettingsFile | None:
    """Read luad.yaml, None when there is none. Raises `CommandError` when it cannot be read."""
    path = settings_path(session, jobs)
    if path is None:
        return None
    from luad.config.settings import SettingsFile

    try:
        return SettingsFile(str(path), path.read_bytes())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot read {path}: {reason}", code="settings") from error


def settings(session: Session, flags: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings in force here; raises `SettingsError`, or `CommandError` (settings)."""
    from luad.config.settings import load_settings

    chosen = dict(flags or {})
    if session.socket is not None:
        chosen["socket"] = session.socket
    jobs = chosen.get("jobs") or ()
    is_system = not jobs and not os.environ.get("LUAD_JOBS") and not Path("jobs.d").exists()
    file = settings_file(session, jobs)
    if is_system and file is None and (SYSTEM_FOLDER / "jobs.d").exists():
        chosen["jobs"] = (str(SYSTEM_FOLDER / "jobs.d"),)
    return load_settings(chosen, os.environ, file, uid=os.geteuid())


def default_timezone(session: Session) -> str:
    """Return the zone of schedules that name none; cheap where there is no luad.yaml."""
    if settings_path(session) is None and not os.environ.get("LUAD_TIMEZONE"):
        return "UTC"
    return settings(session).timezone


def nearby_socket(session: Session) -> Path | None:
    """Return the socket that a daemon of this very project would have, if there is one."""
    path = settings_path(session)
    # A broken luad.yaml must not keep anybody from a daemon that runs.
    with suppress(OSError, LuadError):
        if path is not None and MOVES_SOCKET.search(path.read_bytes()):
            return settings(session).socket
    return LOCAL_SOCKET if LOCAL_SOCKET.exists() else None


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
    from luad.config.catalogue import Catalogue

    gc.disable()  # many objects are made and none is garbage; the process is short
    try:
        loaded = Catalogue(chosen).update(files, now=wall_ms())
    finally:
        gc.enable()
    return replace(loaded, problems=(*problems, *loaded.problems))
