"""The entry of a job as it was stored.

Rule: pure; every value of the row that an entry has is taken over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.core.model import Wanted
from luad.core.state import Entry

if TYPE_CHECKING:
    from luad.core.events import StoredJob
    from luad.core.model import Job


def stored_entry(row: StoredJob, job: Job, *, is_stale: bool = False) -> Entry:
    """Return the entry of *row*, whose definition is *job*."""
    progress = row.progress
    return Entry(
        row.job_id,
        Wanted(job, row.origin, is_stale, row.creation),
        row.installed_at,
        progress.grid_at,
        progress.handled_until,
        progress.consecutive_failures,
        progress.pause,
        overlay=progress.overlay,
        alert=progress.alert,
        standing=row.standing,
        consecutive_stops=progress.consecutive_stops,
    )
