"""Jobs from the store whose documents this very luad has checked before: quick to build.

A hundred thousand of them are built before anything starts. Many are alike but for their name, schedule and
metadata, so the rest is built once.

Rule: text in, a job out, equal to that of `job_from_store`; opens no file and no database.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import Any, Final
from zlib import crc32

from luad.config.jobs.compact_jobs import LazyObject, share_values
from luad.config.jobs.job_builder import Mistakes, build_job, build_schedule
from luad.core.model import Job, Schedule

_OWN: Final = ("description", "user", "metadata")
_places: Final = {field.name: place for place, field in enumerate(fields(Job))}
_NAME, _HANDLER, _SCHEDULE = _places["name"], _places["handler"], _places["schedule"]
_REVISION, _DEFINITION = _places["revision"], _places["definition"]
_DESCRIPTION, _USER, _METADATA = _places["description"], _places["user"], _places["metadata"]
_read: Final = json.JSONDecoder().raw_decode  # `json.loads` looks for white space, too
_MOST: Final = 10_000
"""The number of equal parts that are remembered."""


def check_of(name: str, revision: str, text: str) -> int:
    """Return a short hash of a stored document, by which luad knows that it has checked it."""
    return crc32(f"{name}\0{revision}\0{text}".encode("utf-8", "surrogatepass"))


class CheckedJobs:
    """Builds jobs, and remembers their equal parts."""

    def __init__(self) -> None:
        self._rests: dict[str, list[Any]] = {}
        self._schedules: dict[tuple[Any, ...], Schedule] = {}

    def build(self, name: str, text: str, revision: str) -> Job:
        """Return the job of a stored document.

        Raises ValueError, KeyError, TypeError or AttributeError for a damaged one.
        """
        document: dict[str, Any] = _read(text)[0]
        del document["name"]
        schedule = self._schedule(document.pop("schedule"))
        handler = sys.intern(document.pop("handler"))
        own = {key: document.pop(key) for key in _OWN if key in document}
        values = self._rest(document).copy()
        values[_NAME], values[_HANDLER], values[_SCHEDULE] = name, handler, schedule
        values[_REVISION], values[_DEFINITION] = revision, LazyObject(text)
        for key, value in own.items():
            if key == "description":
                values[_DESCRIPTION] = value
            elif key == "user":
                values[_USER] = sys.intern(value)
            elif value:
                values[_METADATA] = LazyObject(text, "metadata")
        return Job(*values)

    def _schedule(self, value: dict[str, Any]) -> Schedule:
        key = tuple(value.items())
        found = self._schedules.get(key)
        if found is None:
            mistakes: Mistakes = []
            found = build_schedule(value, "UTC", mistakes)
            if mistakes:
                raise ValueError(mistakes[0].message)
            _remember(self._schedules, key, found)
        return found

    def _rest(self, document: dict[str, Any]) -> list[Any]:
        """Return the fields of a job with everything that *document* says."""
        key = repr(document) if document else ""
        found = self._rests.get(key)
        if found is None:
            whole = {**document, "name": "", "handler": "m:f", "schedule": _ANY}
            job = share_values(build_job(whole, "UTC", []))
            found = [getattr(job, field.name) for field in fields(Job)]
            _remember(self._rests, key, found)
        return found


_ANY: Final = {"type": "interval", "seconds": 86_400_000}


def _remember(known: dict[Any, Any], key: object, value: object) -> None:
    if len(known) < _MOST:
        known[key] = value
