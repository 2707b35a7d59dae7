"""The state of one installed job, for the API.

Rule: a value; this module reads neither the engine nor the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from luad.core.installed import JobHealth, JobStatus
from luad.core.lifecycle import BAD_STATES

if TYPE_CHECKING:
    from luad.core.installed import Pause
    from luad.core.model import Creation, Instant, Job, Origin
    from luad.live.recent_runs import LastRun


class JobStateView(NamedTuple):
    """The state of one installed job at a moment; cheap to create and to compare.

    Each list request creates all of them again, and reuses the JSON of those that have not changed.

    *grid_at*: the instant that an interval's grid passes through. *next_fire_at* is *next_scheduled_for*
    plus jitter; both are None without a next occurrence. *running*: run ids. *queued*: the number of claimed
    runs that wait. *stale*: the file is broken, and this is its last good version. *job* has the current
    metadata. *version* changes with the definition or the metadata; it is the ETag. *alert_cause*: the cause
    of the open alert, or empty. *holds_name*: requests find the job by its name; without it, another job has
    that name, and requests find this one by its id. *over_at*: since when a `once` job is over. *gone_at*:
    since when the job is removed, so that only its history is left.
    """

    job: Job
    job_id: str
    installed_at: Instant
    grid_at: Instant
    origin: Origin | None = None
    stale: bool = False
    status: JobStatus = JobStatus.ACTIVE
    pause: Pause | None = None
    consecutive_failures: int = 0
    next_scheduled_for: Instant | None = None
    next_fire_at: Instant | None = None
    running: tuple[str, ...] = ()
    queued: int = 0
    creation: Creation | None = None
    version: str = ""
    alert_cause: str = ""
    holds_name: bool = True
    over_at: Instant | None = None
    gone_at: Instant | None = None

    @property
    def is_dynamic(self) -> bool:
        """True if the job was created at run time."""
        return self.creation is not None

    @property
    def key(self) -> str:
        """The name, or the id of a job that does not hold its name."""
        return self.job.name if self.holds_name else self.job_id


def health(failures: int, last: LastRun | None, *, stale: bool) -> JobHealth:
    """Return the health of a job with so many *failures* in a row, and that *last* run.

    Failing weighs more than stale, because `file.stale` shows the latter in any case.
    """
    if failures or (last is not None and last.ended_as in BAD_STATES):
        return JobHealth.FAILING
    if stale:
        return JobHealth.STALE
    return JobHealth.NEVER_RUN if last is None else JobHealth.OK
