"""Checks how full a disk is.

``metadata``:

    path               any file or folder on that disk (default: ``/``)
    threshold_percent  fail when more than this is used (default: 90)

Rule: the standard library only.
"""

from __future__ import annotations

import os

from luad.handlers.parameters import TEXT, Parameters, schema
from luad.sdk.params import params

TYPE_CHECKING = False  # `typing` costs 9 ms, which every run would pay
if TYPE_CHECKING:
    from typing import Any

    from luad.sync import Job


class DiskFullError(RuntimeError):
    """More of the disk is used than the threshold allows."""


@params(
    schema(
        path=TEXT,
        threshold_percent={"type": ["number", "null"], "minimum": 0, "maximum": 100},
    )
)
def usage(job: Job) -> dict[str, Any]:
    """Return the use of the disk, counted like ``df``; raise `DiskFullError` above the threshold.

    Space that is reserved for root counts neither as used nor as free. *inodes_used_percent* is None on
    file systems that do not count inodes.
    """
    asked = Parameters(job, "path", "threshold_percent")
    path = asked.text("path", "/")
    threshold = asked.number("threshold_percent", 90, low=0, high=100)
    try:
        disk = os.statvfs(path)
    except OSError as error:
        asked.fail("path", f"{path}: {error.strerror}; name a file or folder that exists", error)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    free = disk.f_bavail * disk.f_frsize
    used_percent = _percent(used, used + free)
    result = {
        "path": path,
        "used_percent": used_percent,
        "free_bytes": free,
        "total_bytes": disk.f_blocks * disk.f_frsize,
        "inodes_used_percent": (
            _percent(disk.f_files - disk.f_ffree, disk.f_files) if disk.f_files else None
        ),
    }
    said = f"{path} is {used_percent} % full, {_gigabytes(free)} free"
    if used_percent > threshold:
        raise DiskFullError(f"{said}; the threshold is {threshold:g} %")
    job.log.info(said)
    return result


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _gigabytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
