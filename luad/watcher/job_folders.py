"""The state of a job folder, and the problems of one that is missing or unmounted.

Rule: reads the status and the names of the folder, and no file in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from luad.errors import Problem, Severity
from luad.watcher.job_files import is_job_file


@dataclass(slots=True)
class JobFolder:
    """One folder: its entries that luad does not read (*others*), and the job files that are links.

    *distrust* is the problem of its rights alone.
    """

    path: Path
    prefix: str
    distrust: Problem | None = None
    problem: Problem | None = None
    device: int | None = None
    others: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    unread: tuple[Problem, ...] = ()
    must_read_again: bool = False


def list_files(folder: JobFolder) -> list[str]:
    """Return the names of the job files of *folder*, and note its other entries and its links."""
    folder.others, folder.links = set(), set()
    names = []
    with os.scandir(folder.path) as entries:
        for each in entries:
            if not is_job_file(each.name):
                folder.others.add(each.name)
                continue
            names.append(each.name)
            if each.is_symlink():
                folder.links.add(each.name)
    return names


def unmounted(folder: JobFolder, *, is_settled: bool) -> Problem | None:
    """Return the problem of a folder that is empty and on another disk than before.

    It is most probably a mount point whose disk was unmounted, unless the user asks for a reload.
    """
    try:
        device = os.stat(folder.path).st_dev
        is_other = folder.device is not None and folder.device != device
        if is_other and not is_settled and not os.listdir(folder.path):
            return _not_mounted(folder.path)
    except OSError:
        return None  # reading it gives the reason
    folder.device = device
    return None


def missing_folder(folder: Path) -> Problem:
    """Return a warning and not an error, because a daemon without jobs is healthy."""
    message = f"folder {folder} does not exist"
    help_text = f"run: mkdir -p {folder}   (luad reads it as soon as it exists)"
    return Problem(str(folder), 0, 0, "LU038", message, help_text, Severity.WARNING)


def _not_mounted(folder: Path) -> Problem:
    message = f"folder {folder} is empty and on another file system than before"
    help_text = "mount its file system again; to remove its jobs, run: luad reload"
    return Problem(str(folder), 0, 0, "LU039", message, help_text, Severity.WARNING)
