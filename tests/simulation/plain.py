"""A plain model of dynamic jobs and metadata: names in a dict.

The model knows no time but what it is told, no store and no engine; it is asked what a request should
have been answered, and what should be in force then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from luad.core.model import (
    JSON,
    METADATA_LIMIT,
    MINUTE,
    CatchUp,
    Creation,
    Instant,
    Job,
    Once,
    Wanted,
)
from luad.core.requests import ChangeRequested, DeleteRequested, MetadataRequested, NewJob

ABSENT = object()


as_text = json.JSONEncoder(sort_keys=True).encode
"""JSON tells true from 1; Python does not."""


def is_same(one: JSON, other: JSON) -> bool:
    return repr(one) == repr(other) or as_text(one) == as_text(other)


def when_past(job: Job, now: Instant) -> set[bool]:
    """Say whether the instant of a `once` is too long ago to run; both, if its jitter decides."""
    schedule = job.schedule
    if not isinstance(schedule, Once) or schedule.execute_at >= now:
        return {False}
    most = max(job.catch_up_window_ms, 1_000)
    if job.catch_up is CatchUp.NONE:
        most = min(most, MINUTE)
    late_ms = now - schedule.execute_at
    return {late_ms > most, late_ms - job.jitter_ms > most}


@dataclass
class Known:
    """A job that should be in force. *is_displaced*: a file has its name, and it waits for it."""

    job: Job
    metadata: dict[str, JSON]
    creation: Creation | None = None
    job_id: str = ""
    installed_at: Instant = 0
    is_displaced: bool = False

    @property
    def tag(self) -> tuple[str, str]:
        return self.job.revision, as_text(self.metadata)

    def may_be_over(self, now: Instant) -> bool:
        """The model does not know what has fired; it knows what may have."""
        schedule = self.job.schedule
        is_due = isinstance(schedule, Once) and schedule.execute_at <= now
        return is_due and not self.job.keep and self.creation is not None

    def redeclare(self, new: Job) -> None:
        """Keep the written keys, except those that are declared differently now."""
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
    """Jobs by name, those that have lost it by id, and the files as they were last loaded."""

    jobs: dict[str, Known] = field(default_factory=dict)
    aside: dict[str, Known] = field(default_factory=dict)
    files: dict[str, Wanted] = field(default_factory=dict)

    def load(self, wanted: Mapping[str, Wanted], now: Instant) -> None:
        self.files = dict(wanted)
        for name, known in list(self.jobs.items()):
            if known.creation is None and name not in wanted:
                self.leave(name)
        for name, each in wanted.items():
            known_now = self.jobs.get(name)
            if known_now is not None and known_now.creation is not None:
                known_now.is_displaced = not known_now.may_be_over(now)
                self.aside[known_now.job_id] = known_now
                known_now = None
            if known_now is None:
                self.jobs[name] = Known(each.job, dict(each.job.metadata))
            elif known_now.job.revision != each.job.revision:
                known_now.redeclare(each.job)

    def create(self, new: NewJob, now: Instant) -> set[str]:
        """Return the outcomes of a creation that are right."""
        job = new.wanted.job
        known = self.jobs.get(job.name)
        if known is None:
            return {"created"}
        if known.creation is None:
            return {"refused"}
        right = {"created"} if known.may_be_over(now) else set()
        if new.if_exists == "error":
            return right | {"refused"}
        if new.if_exists == "keep":
            return right | {"kept"}
        if known.job.revision == job.revision:
            schedule = job.schedule
            if isinstance(schedule, Once) and schedule.execute_at <= now:
                return right | {"kept", "replaced"}  # the model does not know if it has fired
            return right | {"kept"}
        return right | {"replaced"}

    def made(self, new: NewJob, outcome: str, job_id: str, at: Instant) -> None:
        """Take in what a creation was answered."""
        job = new.wanted.job
        known = self.jobs.get(job.name)
        if outcome not in {"created", "replaced"}:
            return
        if outcome == "created" and known is not None:
            self.aside[known.job_id] = known
        if outcome == "replaced" and known is not None:
            at = known.installed_at
        creation = new.wanted.creation
        self.jobs[job.name] = Known(job, dict(job.metadata), creation, job_id, at)

    def find(self, name_or_id: str) -> Known | None:
        known = self.jobs.get(name_or_id) or self.aside.get(name_or_id)
        every = [*self.jobs.values(), *self.aside.values()]
        return known or next((each for each in every if name_or_id == each.job_id), None)

    def change(
        self,
        event: ChangeRequested,
        tag: tuple[str, str] | None,
        now: Instant,
        told: str | None,
    ) -> str | None:
        """Return the error that is right, None if the change is taken in. *told*: the engine's answer,
        where the model does not know the jitter that decides."""
        known = self.find(event.job_name)
        error = self._error(known, event.if_match, tag, is_own=True)
        if error is None and known is not None:
            if known.job.revision != event.based_on:
                return "conflict"
            if known.job_id in self.aside and not known.is_displaced:
                return "name_taken"
            is_past = when_past(event.job, now)
            if len(is_past) > 1:
                is_past = {told is not None}
            if known.job.schedule != event.job.schedule and True in is_past:
                return "validation"
            known.redeclare(event.job)
        return error

    def delete(self, event: DeleteRequested, tag: tuple[str, str] | None) -> str | None:
        known = self.find(event.job_name)
        error = self._error(known, event.if_match, tag, is_own=True)
        if error is None and known is not None:
            self.remove(known)
        return error

    def remove(self, known: Known) -> None:
        """A dynamic job is gone."""
        if self.aside.pop(known.job_id, None) is None:
            self.leave(known.job.name)

    def leave(self, name: str) -> None:
        """A name is free; the job that waits for it has it again."""
        del self.jobs[name]
        waiting = [each for each in self.aside.values() if each.job.name == name]
        if waiting:
            heir = max(
                waiting, key=lambda each: (each.is_displaced, each.installed_at, each.job_id)
            )
            del self.aside[heir.job_id]
            heir.is_displaced = False
            self.jobs[name] = heir

    def write(self, event: MetadataRequested, tag: tuple[str, str] | None) -> str | None:
        known = self.find(event.job_name)
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
