"""The job and the run of a request, for the audit trail.

Rule: notes names while a request is answered; decides nothing.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_NAMED: Final = 10
"""Jobs of one request that its entry names; the rest is counted."""

MOST_LINKED: Final = 100
"""Jobs of one request whose activity has its entry."""

_LONGEST: Final = 128
_BATCH: Final = ":batch"
_KEYS: Final = {"jobs": "job", "runs": "run_id", "users": "user", "tokens": "token"}
_THING: Final = re.compile(r"/v1/(jobs|runs|users|tokens)/([^/]+)")


class Subject:
    """The subject of one request, noted while it is answered."""

    def __init__(self) -> None:
        self._jobs: dict[str, str] = {}
        self._runs: dict[str, None] = {}
        self._reason = ""
        self._subject = ""

    @property
    def job_ids(self) -> list[str]:
        """The ids of the jobs that find the entry in their activity."""
        return list(self._jobs)[:MOST_LINKED]

    def note_words(self, reason: str, subject: str = "") -> None:
        """Remember the reason that the client gave, and the subject where it is not a job."""
        self._reason, self._subject = reason, subject

    def note_job(self, job_id: str, name: str) -> None:
        """Remember a job that the request names, makes or changes."""
        self._jobs[job_id] = name

    def note_run(self, run_id: str, job_id: str, job_name: str) -> None:
        """Remember a run that the request names or starts, and its job."""
        self._runs[run_id] = None
        if job_id:
            self._jobs.setdefault(job_id, job_name)

    def fields(self, path: str) -> Mapping[str, Any]:
        """Return the fields of an entry; an object that was not found has its name from *path*."""
        found: dict[str, Any] = {}
        if thing := _THING.match(path):
            found[_KEYS[thing[1]]] = thing[2][:_LONGEST]
        if len(self._jobs) == 1:
            found["job_id"], found["job"] = next(iter(self._jobs.items()))
        elif self._jobs:
            found["jobs"] = list(self._jobs.values())[:MOST_NAMED]
            found["job_count"] = len(self._jobs)
        if self._reason:
            found["reason"] = self._reason
        if self._subject:
            found["subject"] = self._subject[:_LONGEST]
        first, *more = self._runs or (None,)
        if first is not None:
            found["run_id"] = first
        if len(more) == 1 and not path.endswith(_BATCH):
            found["new_run_id"] = more[0]
        elif more:
            found["run_count"] = len(self._runs)
        return found


_present: ContextVar[Subject | None] = ContextVar("about", default=None)


def begin() -> Subject:
    """Return the collector of names for the request that this task answers from now on."""
    about = Subject()
    _present.set(about)
    return about


def note_job(job_id: str, name: str) -> None:
    """Note a job of the request that is answered now, if there is one."""
    if about := _present.get():
        about.note_job(job_id, name)


def note_run(run_id: str, job_id: str, job_name: str) -> None:
    """Note a run of the request that is answered now, if there is one."""
    if about := _present.get():
        about.note_run(run_id, job_id, job_name)


def note_words(reason: str, subject: str = "") -> None:
    """Note the reason of the request that is answered now, and its subject where it is not a job."""
    if about := _present.get():
        about.note_words(reason, subject)
