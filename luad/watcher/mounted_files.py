"""Files of a job folder that lie elsewhere: mounted over by themselves, or behind a link.

The kernel tells a folder what happens to the files that lie in it. An edit in place of a file that lies
elsewhere is told to that other folder, so that such a file needs a watch of its own.

Room rule: looks; opens nothing but the kernel's list of mounts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from luad.watcher.snapshot import is_job_file

MOUNTS: Final = "/proc/self/mountinfo"
_MOST: Final = 1_000
"""Watches are scarce; further files are found by the look that is taken now and then."""

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")


def read_mounts() -> bytes:
    """Return the kernel's list of mounts, as it is; empty where there is none."""
    with suppress(OSError), open(MOUNTS, "rb") as file:
        return file.read()
    return b""


def files_apart(folders: Sequence[Path], mounts: bytes) -> tuple[str, ...]:
    """Return the job files in *folders* that lie elsewhere, by path; *mounts* as from `read_mounts`."""
    points = set(_mount_points(mounts))
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


def _mount_points(mounts: bytes) -> Iterator[str]:
    for line in mounts.splitlines():
        words = line.split(b" ", 5)
        if len(words) > 4:
            path = _OCTAL.sub(lambda code: bytes([int(code[1], 8)]), words[4])
            yield os.fsdecode(path)
