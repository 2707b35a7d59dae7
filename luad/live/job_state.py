"""One installed job as it stands at a moment.

Rule: a value; nothing in here asks the engine or the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from luad.core.installed import JobStatus

if TYPE_CHECKING:
    from luad.core.installed import Pause
    from luad.core.model import Creation, Instant, Job, Origin


class JobStateView(NamedTuple):
    """One installed job as it stands at a moment. Cheap to make and to compare: every look at the
    list makes all of them anew, and shows those that are as they were from memory.

    *grid_at*: the instant an interval's grid passes through (as the engine has it). *next_fire_at*
    is *next_scheduled_for* plus jitter; both None while nothing is planned. *running*: run ids.
    *queued*: runs that are claimed and wait. *stale*: its file is broken, this is the last good
    version. *job* has the metadata as they are now, what was written to them included. *version*
    changes whenever the definition or the metadata do: it is the entity tag. *alert_cause*: why
    somebody was told of trouble, empty while there is none. *holds_name*: the job is found by its name;
    without it another job has that name, and this one is found by its id. *over_at*: since when a `once`
    job is over. *gone_at*: since when the job is gone; only its history is there then.
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
        """Was it made at run time."""
        return self.creation is not None

    @property
    def key(self) -> str:
        """The name, or the id of a job that does not hold its name."""
        return self.job.name if self.holds_name else self.job_id
