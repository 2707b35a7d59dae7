"""The jobs that a question is about, their number, and a part of them.

Rule: values; this module reads neither the engine nor the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from luad.core.installed import JobHealth, JobStatus


@dataclass(frozen=True, slots=True)
class JobChoice:
    """Conditions that a job must meet, all of them; an empty one is always met.

    *is_dynamic*: None for static and dynamic jobs. *prefix*: the beginning of the name. *words*: a text in lower
    case that the name, the description or the handler contains.
    """

    is_dynamic: bool | None = None
    statuses: frozenset[JobStatus] = frozenset()
    healths: frozenset[JobHealth] = frozenset()
    tags: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    prefix: str = ""
    words: str = ""


EVERY_JOB = JobChoice()


class Found(NamedTuple):
    """The places of jobs, in order. *to*: the last place that was looked at; None if it was the last of all."""

    places: list[str]
    to: str | None


@dataclass(frozen=True, slots=True)
class JobCounts:
    """The numbers of jobs and of open runs.

    *failing*: without the jobs that have been over for more than a day.
    """

    total: int = 0
    active: int = 0
    paused: int = 0
    failing: int = 0
    stale: int = 0
    completed: int = 0
    running_runs: int = 0
    queued_runs: int = 0
