"""Jobs from the store whose documents this very luad has checked before: quick to build.

A hundred thousand of them are built before anything starts. Many are alike but for their name, schedule and
metadata, so the rest is built once.

Rule: text in, a job out, equal to that of `job_from_store`; opens no file and no database.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final
from zlib import crc32

from luad.config.jobs.compact_jobs import LazyObject, share_values
from luad.config.jobs.job_builder import Mistakes, build_job, build_schedule
from luad.core.model import Job, Schedule
from luad.core.values import replace

_OWN: Final = frozenset({"name", "description", "handler", "user"})
_MOST: Final = 10_000
"""The number of equal parts that are remembered."""


def check_of(name: str, revision: str, text: str) -> int:
    """Return a short hash of a stored document, by which luad knows that it has checked it."""
    return crc32(f"{name}\0{revision}\0{text}".encode("utf-8", "surrogatepass"))


class CheckedJobs:
    """Builds jobs, and remembers their equal parts."""

    def __init__(self) -> None:
        self._rests: dict[str, Job] = {}
        self._schedules: dict[str, Schedule] = {}

    def build(self, text: str, revision: str) -> Job:
        """Return the job of a stored document. Raises ValueError and KeyError for a damaged one."""
        document: dict[str, Any] = json.loads(text)
        own: dict[str, Any] = {key: document.pop(key) for key in _OWN & document.keys()}
        own["handler"] = sys.intern(own["handler"])
        if "user" in own:
            own["user"] = sys.intern(own["user"])
        if document.pop("metadata", None):
            own["metadata"] = LazyObject(text, "metadata")
        schedule = self._schedule(document.pop("schedule"))
        definition = LazyObject(text)
        rest = self._rest(document)
        return replace(rest, **own, schedule=schedule, revision=revision, definition=definition)

    def _schedule(self, value: dict[str, Any]) -> Schedule:
        key = repr(value)
        found = self._schedules.get(key)
        if found is None:
            mistakes: Mistakes = []
            found = build_schedule(value, "UTC", mistakes)
            if mistakes:
                raise ValueError(mistakes[0].message)
            _remember(self._schedules, key, found)
        return found

    def _rest(self, document: dict[str, Any]) -> Job:
        """Return a job with everything that *document* says; its name and schedule have no meaning."""
        key = repr(document)
        found = self._rests.get(key)
        if found is None:
            whole = {**document, "name": "", "handler": "m:f", "schedule": _ANY}
            found = share_values(build_job(whole, "UTC", []))
            _remember(self._rests, key, found)
        return found


_ANY: Final = {"type": "interval", "seconds": 86_400_000}


def _remember(known: dict[str, Any], key: str, value: object) -> None:
    if len(known) < _MOST:
        known[key] = value
