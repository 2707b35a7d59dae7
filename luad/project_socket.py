"""Finds the project of the working folder, and the path of its daemon's socket.

Rule: reads the status of files and folders, and trusts only those that pass the rule of `luad.trust`;
it opens only the kernel's list of mounts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.mount_points import mount_points, read_mounts
from luad.trust import folder_problem, path_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS_NAME: Final = "luad.yaml"
JOBS_NAME: Final = "jobs.d"
SYSTEM_FOLDER: Final = Path("/etc/luad")
LOCAL_FOLDER: Final = ".luad"
LONGEST: Final = 100
"""Bytes of a socket's path; the kernel takes 107, and luad may have to add a folder."""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with jobs. *settings* is its luad.yaml; None if it has none."""

    folder: Path
    settings: Path | None

    def socket(self, environ: Mapping[str, str], uid: int) -> Path:
        """Return the path at which the project's daemon listens unless a setting names another."""
        path = self.folder / LOCAL_FOLDER / "luad.sock"
        if len(os.fsencode(path)) <= LONGEST:
            return path
        runtime = environ.get("XDG_RUNTIME_DIR") or ("/run" if uid == 0 else "")
        if not runtime:
            return path
        from hashlib import sha256  # noqa: PLC0415 - OpenSSL takes 10 ms, and long paths are rare

        name = sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(runtime) / "luad" / f"{name}.sock"


def find_project(start: Path | None = None) -> Project | None:
    """Return the project of *start* (default: the working folder); None if it has none.

    A project is the nearest folder, from *start* up, with a luad.yaml; or *start* itself if it has a
    `jobs.d`. The search takes only files that root or this user alone may write, and stops at a mount point.
    """
    uid = os.geteuid()
    try:
        here = Path.cwd() if start is None else start.absolute()
    except OSError:
        return None  # the working folder was deleted
    for folder in _upwards(here):
        settings = folder / SETTINGS_NAME
        if _exists(settings) and path_problem(settings, daemon_uid=uid) is None:
            return Project(folder, settings)
        jobs = folder / JOBS_NAME
        if folder == here and _exists(jobs) and folder_problem(jobs, daemon_uid=uid) is None:
            return Project(folder, None)
    return None


def project_of(settings: Path) -> Project | None:
    """Return the project of a luad.yaml; None for the system's file, and for an unsafe one."""
    path = settings.absolute()
    if path.parent == SYSTEM_FOLDER or path_problem(path, daemon_uid=os.geteuid()) is not None:
        return None
    return Project(path.parent, path)


def _upwards(here: Path) -> Iterator[Path]:
    """Yield *here* and the folders above it, up to a mount point or to the system's own folder."""
    mounts = mount_points(read_mounts()) or {"/"}
    for folder in (here, *here.parents):
        if folder == SYSTEM_FOLDER:
            return
        yield folder
        if str(folder) in mounts:
            return


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - unlike Path.exists, False without permission
