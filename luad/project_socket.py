"""The project that the working folder belongs to, and where its daemon has its socket.

Room rule: looks at files and folders, and trusts only those that pass the rule of `luad.trust`; opens
none but the kernel's list of mounts.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.trust import folder_problem, path_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS_NAME: Final = "luad.yaml"
JOBS_NAME: Final = "jobs.d"
SYSTEM_FOLDER: Final = Path("/etc/luad")
LOCAL_FOLDER: Final = ".luad"
LONGEST: Final = 100
"""Bytes of a socket's path; the kernel takes 107, and luad may have to add a folder."""

_MOUNTS: Final = "/proc/self/mountinfo"
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with jobs. *settings* is its luad.yaml, None where it has none."""

    folder: Path
    settings: Path | None

    def socket(self, environ: Mapping[str, str], uid: int) -> Path:
        """Return where the project's own daemon listens, when no setting names another place."""
        path = self.folder / LOCAL_FOLDER / "luad.sock"
        if len(os.fsencode(path)) <= LONGEST:
            return path
        runtime = environ.get("XDG_RUNTIME_DIR") or ("/run" if uid == 0 else "")
        if not runtime:
            return path
        from hashlib import sha256  # noqa: PLC0415 - OpenSSL takes 10 ms, and few paths are long

        name = sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(runtime) / "luad" / f"{name}.sock"


def find_project(start: Path | None = None) -> Project | None:
    """Return the project of *start* (the working folder), None when it belongs to none.

    A project is the nearest folder, from *start* up, with a luad.yaml; or *start* itself when it has a
    `jobs.d`. The walk takes only what root or this user alone may write, and stops at a mount point.
    """
    uid = os.geteuid()
    try:
        here = Path.cwd() if start is None else start.absolute()
    except OSError:
        return None  # the working folder was deleted
    for folder in _upwards(here):
        settings = folder / SETTINGS_NAME
        if _is_there(settings) and path_problem(settings, daemon_uid=uid) is None:
            return Project(folder, settings)
        jobs = folder / JOBS_NAME
        if folder == here and _is_there(jobs) and folder_problem(jobs, daemon_uid=uid) is None:
            return Project(folder, None)
    return None


def project_of(settings: Path) -> Project | None:
    """Return the project that a luad.yaml belongs to; None for the system's, and for an unsafe one."""
    path = settings.absolute()
    if path.parent == SYSTEM_FOLDER or path_problem(path, daemon_uid=os.geteuid()) is not None:
        return None
    return Project(path.parent, path)


def _upwards(here: Path) -> Iterator[Path]:
    """Yield *here* and the folders above it, up to a mount point or to the system's own folder."""
    mounts = _mount_points()
    for folder in (here, *here.parents):
        if folder == SYSTEM_FOLDER:
            return
        yield folder
        if str(folder) in mounts:
            return


def _mount_points() -> set[str]:
    with suppress(OSError), open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - before any Path
        return {
            _OCTAL.sub(lambda code: chr(int(code[1], 8)), line.split(" ", 5)[4]) for line in file
        }
    return {"/"}


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - unlike Path.exists, False where it may not look
