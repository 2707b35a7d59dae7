"""Finds the files of a job folder that are stored elsewhere: bind mounts of single files, and links.

The kernel reports an edit in place to the folder that stores the file. A file that is stored elsewhere
therefore needs a watch of its own.

Rule: reads names and status values; opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from luad.mount_points import mount_points
from luad.watcher.job_files import is_job_file

_MOST: Final = 1_000
"""Watches are scarce; the periodic rescan finds changes of further files."""


def files_elsewhere(folders: Sequence[Path], mounts: bytes) -> tuple[str, ...]:
    """Return the sorted paths of the job files in *folders* that are stored elsewhere.

    *mounts* comes from `luad.mount_points.read_mounts`.
    """
    points = mount_points(mounts)
    found: list[str] = []
    for folder in folders:
        real = os.path.realpath(folder)
        with suppress(OSError), os.scandir(folder) as entries:
            found += (
                entry.path
                for entry in entries
                if is_job_file(entry.name)
                and (entry.is_symlink() or f"{real}/{entry.name}" in points)
                and os.path.isfile(entry.path)
            )
    return tuple(sorted(found)[:_MOST])
