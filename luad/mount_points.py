"""Reads the kernel's list of mounts.

Rule: opens only that list; a system without one has no mount points.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Final

MOUNTS: Final = "/proc/self/mountinfo"
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")


def read_mounts() -> bytes:
    """Return the list in the kernel's format; empty if the system has none."""
    with suppress(OSError), open(MOUNTS, "rb") as file:  # noqa: PTH123 - before any Path
        return file.read()
    return b""


def mount_points(mounts: bytes) -> set[str]:
    """Return the paths of the mount points in a list from `read_mounts`."""
    words = (line.split(b" ", 5) for line in mounts.splitlines())
    return {
        os.fsdecode(_OCTAL.sub(lambda code: bytes([int(code[1], 8)]), each[4]))
        for each in words
        if len(each) > 4
    }
