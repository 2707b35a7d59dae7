"""What dynamic jobs and metadata should be, said without any cleverness: names in a dict.

The model knows no time but what it is told, no store and no engine; it is asked what a request should
have been answered, and what should be in force then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from luad.core.events import ChangeRequested, DeleteRequested, MetadataRequested, NewJob
from luad.core.model import JSON, METADATA_LIMIT, Creation, Instant, Job, Once, Wanted

ABSENT = object()


as_text = json.JSONEncoder(sort_keys=True).encode
"""JSON tells true from 1; Python does not."""


def is_same(one: JSON, other: JSON) -> bool:
    return repr(one) == repr(other) or as_text(one) == as_text(other)


@dataclass
class Known:
    """A job that should be in force."""

    job: Job
    metadata: dict[str, JSON]
    creation: Creation | None = None

    @property
    def tag(self) -> tuple[str, str]:
        return self.job.revision, as_text(self.metadata)

    def redeclare(self, new: Job) -> None:
        """What was written stays, but for the keys that are declared differently now."""
        old = self.job.metadata
        for key in {*old, *new.metadata}:
            if as_text([old.get(key), key in old]) != as_text(
                [new.metadata.get(key), key in new.metadata]
            ):
                self.metadata.pop(key, None)
                if key in new.metadata:
                    self.metadata[key] = new.metadata[key]
        self.job = new


@dataclass
class Plain:
    """Jobs by name, and the files as they were last loaded."""

    jobs: dict[str, Known] = field(default_factory=dict)
    files: dict[str, Wanted] = field(default_factory=dict)

    def load(self, wanted: Mapping[str, Wanted]) -> None:
        self.files = dict(wanted)
        for name, known in list(self.jobs.items()):
            if known.creation is None and name not in wanted:
                del self.jobs[name]
        for name, each in wanted.items():
            known_now = self.jobs.get(name)
            if known_now is None:
                self.jobs[name] = Known(each.job, dict(each.job.metadata))
            elif known_now.creation is None and known_now.job.revision != each.job.revision:
                known_now.redeclare(each.job)

    def create(self, new: NewJob, now: Instant) -> set[str]:
        """Take a creation in; return the outcomes that are right."""
        job = new.wanted.job
        known = self.jobs.get(job.name)
        if known is None:
            self._make(new)
            return {"created"}
        if known.creation is None or new.if_exists == "error":
            return {"refused"}
        if new.if_exists == "keep":
            return {"kept"}
        if known.job.revision == job.revision:
            schedule = job.schedule
            if isinstance(schedule, Once) and schedule.execute_at <= now:
                return {"kept", "replaced"}  # who knows whether it has fired already
            return {"kept"}
        self._make(new)
        return {"replaced"}

    def _make(self, new: NewJob) -> None:
        job = new.wanted.job
        self.jobs[job.name] = Known(job, dict(job.metadata), new.wanted.creation)

    def change(self, event: ChangeRequested, tag: tuple[str, str] | None) -> str | None:
        """Return the error that is right, None if the change is taken in."""
        known = self.jobs.get(event.job_name)
        error = self._error(known, event.if_match, tag, is_own=True)
        if error is None and known is not None:
            if known.job.revision != event.based_on:
                return "conflict"
            known.redeclare(event.job)
        return error

    def delete(self, event: DeleteRequested, tag: tuple[str, str] | None) -> str | None:
        error = self._error(self.jobs.get(event.job_name), event.if_match, tag, is_own=True)
        if error is None:
            self.leave(event.job_name)
        return error

    def leave(self, name: str) -> None:
        """A dynamic job is gone; a file that declares its name comes into force."""
        del self.jobs[name]
        if (heir := self.files.get(name)) is not None:
            self.jobs[name] = Known(heir.job, dict(heir.job.metadata))

    def write(self, event: MetadataRequested, tag: tuple[str, str] | None) -> str | None:
        known = self.jobs.get(event.job_name)
        error = self._error(known, event.if_match, tag, is_own=False)
        if error is not None or known is None:
            return error
        written = self.written(known.metadata, event)
        if len(json.dumps(written).encode()) > METADATA_LIMIT:
            return "validation"
        known.metadata = written
        return None

    @staticmethod
    def written(before: dict[str, JSON], event: MetadataRequested) -> dict[str, JSON]:
        if event.mode == "replace":
            return dict(event.values)
        if event.mode == "merge":
            return before | dict(event.values)
        patched = json.loads(json.dumps(before))
        _patch(patched, event.values)
        return dict(patched)

    @staticmethod
    def _error(
        known: Known | None, if_match: str | None, tag: tuple[str, str] | None, *, is_own: bool
    ) -> str | None:
        if known is None:
            return "not_found"
        if is_own and known.creation is None:
            return "file_owned"
        if if_match is not None and tag != known.tag:
            return "precondition_failed"
        return None


def _patch(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """RFC 7396, in place."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _patch(target[key], value)
        else:
            target[key] = value
