"""Dynamic jobs and metadata: created, changed and removed at run time.

Rule: each request gets exactly one `Reply`. A request cannot change or remove a job that a file declares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from luad.core import names
from luad.core.events import ForgetCompleted, RememberKey, Reply
from luad.core.installed import NO_ALERT, NO_OVERLAY, JobStatus, Overlay, Pause
from luad.core.jobset import JobSet
from luad.core.model import JSON, METADATA_LIMIT, SECOND, CatchUp, Instant, Job, Once, Wanted
from luad.core.overlays import is_same_json
from luad.core.policy import never_starts
from luad.core.requests import (
    ChangeRequested,
    Created,
    CreateRequested,
    DeleteRequested,
    MetadataRequested,
    NewJob,
)
from luad.core.schedule import duration_words, fire_at
from luad.core.state import Entry, State
from luad.core.timetable import Alarm
from luad.core.values import replace

_MOST_OVER: Final = 10_000
"""The number of `once` jobs that are over and stay installed, unless more dynamic jobs are allowed."""

_Refusal = tuple[str, str, str]  # code, message, hint


class DynamicJobs:
    """Answers requests about dynamic jobs and about metadata."""

    def __init__(self, state: State, jobset: JobSet) -> None:
        self._state = state
        self._jobset = jobset
        self.most_over = max(_MOST_OVER, state.bounds.max_dynamic_jobs)
        self._staying = 0  # jobs that are over and stay: static or `keep`, at the previous check

    # --- making ---

    def create(self, event: CreateRequested, now: Instant) -> None:
        """Install the requested jobs one by one; a refusal of one does not affect the others."""
        outcomes = tuple(
            self._create(new, now, f"{event.request_id} {number}")
            for number, new in enumerate(event.jobs)
        )
        granted = [each.job_id for each in outcomes if each.outcome != "refused"]
        if event.key is not None and granted:
            self._state.out.append(RememberKey(event.key, granted[0], now))
        self._state.out.append(Reply(event.request_id, outcomes))

    def _create(self, new: NewJob, now: Instant, cause: str) -> Created:
        name = new.wanted.job.name
        names.mark_over(self._state, now)
        entry = self._state.entries.get(name)
        earlier = entry if entry is not None and entry.makes_room else None
        if earlier is not None:
            entry = None
        refusal = self._refusal(new, entry)
        if refusal is not None:
            code, message, hint = refusal
            return Created(name, "refused", "", code, message, hint)
        if entry is None:
            if (past := _past(new.wanted.job, now)) is not None:
                return Created(name, "refused", "", *past)
            if earlier is not None:
                names.release_name(self._state, earlier)
            entry = self._jobset.install(new.wanted, now, cause=cause)
            self._set_pause(entry, new, now)
            self._log("job.created", entry, new.wanted)
            earlier_id = earlier.job_id if earlier is not None else ""
            return Created(name, "created", entry.job_id, earlier_id=earlier_id)
        is_same = entry.job.revision == new.wanted.job.revision
        is_done = entry.status is JobStatus.COMPLETED
        if new.if_exists == "keep" or (is_same and not is_done):
            return Created(name, "kept", entry.job_id)
        if (past := _past(new.wanted.job, now)) is not None:
            return Created(name, "refused", "", *past)
        self._replace(entry, new, now)
        return Created(name, "replaced", entry.job_id)

    def _replace(self, entry: Entry, new: NewJob, now: Instant) -> None:
        """Reset a job to its new definition; it keeps its id and its history."""
        entry.overlay, entry.alert = NO_OVERLAY, NO_ALERT
        entry.clear_failures()
        self._state.timetable.cancel_alarm(Alarm("resume", entry.key))
        entry.pause = entry.open_skip = entry.earlier_skip = None
        self._jobset.redeclare(entry, new.wanted, now)
        self._set_pause(entry, new, now)
        self._log("job.replaced", entry, new.wanted)

    def _set_pause(self, entry: Entry, new: NewJob, now: Instant) -> None:
        if new.pause_reason is not None:
            author = new.wanted.creation.author if new.wanted.creation else ""
            entry.pause = Pause(now, new.pause_reason, author)
            self._state.mark_changed(entry)

    def _refusal(self, new: NewJob, entry: Entry | None) -> _Refusal | None:
        """Return why a job cannot be created; None if it can."""
        job = new.wanted.job
        if entry is not None:
            if not entry.wanted.is_dynamic:
                return _file_owned(entry, "choose another name, or change the file")
            if new.if_exists == "error":
                hint = (
                    "choose another name, or say if_exists: replace or keep (--if-exists replace); "
                    f"luad delete {job.name} removes it"
                )
                return "name_taken", f"there is a dynamic job `{job.name}` already", hint
            if job.user is None or job.user == entry.job.user:
                return None
            return self._refusal_by_user(job)
        most = self._state.bounds.max_dynamic_jobs
        if self._state.dynamic_count >= most:
            message = f"there are {most} dynamic jobs already, as many as there may be"
            return "too_many_jobs", message, "delete some, or raise dynamic.max_jobs in luad.yaml"
        return self._refusal_by_user(job)

    def _refusal_by_user(self, job: Job) -> _Refusal | None:
        most = self._state.bounds.max_dynamic_jobs_per_user
        if job.user is None or self._state.dynamic_of_user[job.user] < most:
            return None
        message = f"there are {most} dynamic jobs for `{job.user}` already, as many as there may be"
        hint = "delete some, or raise dynamic.max_jobs_per_user in luad.yaml"
        return "too_many_jobs", message, hint

    def _log(self, event: str, entry: Entry, wanted: Wanted) -> None:
        job, made = entry.job, wanted.creation
        self._state.log(
            event,
            job=job.name,
            handler=job.handler,
            user=job.user,
            author=made.author if made else "",
            by_run=made.run_id if made else None,
        )

    # --- changing and removing ---

    def change(self, event: ChangeRequested, now: Instant) -> None:
        """Give a dynamic job a new definition."""
        entry = self._find_own(event.request_id, event.job_name, event.if_match)
        if entry is None:
            return
        if entry.job.revision != event.based_on:
            self._refuse(
                event.request_id,
                "conflict",
                f"another request has just changed {event.job_name}",
                "fetch the job again, then repeat the change",
            )
            return
        standing = entry.standing
        if not standing.holds_name and standing.displaced is None:
            self._refuse(
                event.request_id,
                "name_taken",
                f"{entry.job.name} ({entry.job_id}) is over, and another job has its name now",
                f"change the other job, or make a new one; luad show {entry.job.name}",
            )
            return
        user, most = event.job.user, self._state.bounds.max_dynamic_jobs_per_user
        if user != entry.job.user and user and self._state.dynamic_of_user[user] >= most:
            self._refuse(event.request_id, *(self._refusal_by_user(event.job) or ("", "", "")))
            return
        past = _past(event.job, now) if event.job.schedule != entry.job.schedule else None
        if past is not None:
            self._refuse(event.request_id, *past)
            return
        wanted = Wanted(event.job, None, creation=entry.wanted.creation)
        self._jobset.redeclare(entry, wanted, now)
        self._state.log("job.changed", job=entry.job.name)
        self._state.out.append(Reply(event.request_id))

    def delete(self, event: DeleteRequested, now: Instant) -> None:
        """Remove a dynamic job."""
        entry = self._find_own(event.request_id, event.job_name, event.if_match)
        if entry is None:
            return
        self._jobset.remove(entry, now)
        self._state.log("job.deleted", job=entry.job.name)
        self._state.out.append(Reply(event.request_id))

    def forget(self, event: ForgetCompleted, now: Instant) -> None:
        """Remove the `once` jobs that were over before the instant of *event*."""
        names.mark_over(self._state, now)
        for job_id in tuple(self._state.over):
            entry = self._state.entries[self._state.names[job_id]]
            over_at = entry.standing.over_at
            if entry.makes_room and over_at is not None and over_at < event.before:
                self._forget(entry, now)

    def make_room(self, now: Instant) -> None:
        """Remove the jobs that have been over longest, if too many are over; keep their history."""
        if len(self._state.over) - self._staying <= self.most_over:
            return
        every = [self._state.entries[self._state.names[each]] for each in self._state.over]
        leaving = [each for each in every if each.makes_room]
        self._staying = len(every) - len(leaving)
        for entry in leaving[: max(0, len(leaving) - self.most_over)]:
            self._forget(entry, now)

    def _forget(self, entry: Entry, now: Instant) -> None:
        self._state.log("job.forgotten", job=entry.job.name)
        self._jobset.remove(entry, now, JobStatus.COMPLETED)

    # --- metadata ---

    def write_metadata(self, event: MetadataRequested, _: Instant) -> None:
        """Write to the metadata of a job, over the declared values."""
        entry = self._find(event.request_id, event.job_name, event.if_match)
        if entry is None:
            return
        written = _written(entry.current.metadata, event.values, event.mode)
        refusal = _too_large(event.job_name, written)
        was, overlay = entry.overlay, _overlay(entry.job, written)
        remote = _remote_keys(entry, event, written)
        if refusal is None and len(remote) > len(was.remote):
            refusal = _too_many_marks(event.job_name, remote)
        if refusal is not None:
            self._refuse(event.request_id, *refusal)
            return
        if remote:
            overlay = replace(overlay, remote=tuple(sorted(remote)))
        is_same = (overlay.removed, overlay.remote) == (was.removed, was.remote)
        if not is_same or not is_same_json(overlay.values, was.values):
            entry.overlay = overlay
            self._state.mark_changed(entry)
        self._state.out.append(Reply(event.request_id, written))

    # --- inside ---

    def _find(self, request_id: str, name: str, if_match: str | None) -> Entry | None:
        """Return the entry of that name if *if_match* is its version; otherwise refuse the request."""
        entry = self._state.find(name)
        if entry is None:
            self._refuse(request_id, "not_found", f"no job named `{name}`")
        elif if_match is not None and if_match != entry.version:
            self._refuse(
                request_id,
                "precondition_failed",
                f"{name} has changed since you read it (its ETag is now {entry.version})",
                "fetch it again, then repeat the change with the new ETag",
            )
        else:
            return entry
        return None

    def _find_own(self, request_id: str, name: str, if_match: str | None) -> Entry | None:
        entry = self._state.find(name)
        if entry is not None and not entry.wanted.is_dynamic:
            self._refuse(request_id, *_file_owned(entry, f"change the file, or luad pause {name}"))
            return None
        return self._find(request_id, name, if_match)

    def _refuse(self, request_id: str, error: str, message: str, hint: str = "") -> None:
        self._state.out.append(Reply(request_id, None, error, message, hint))


def _past(job: Job, now: Instant) -> _Refusal | None:
    """Refuse a `once` job that would never run because its instant is too long ago."""
    schedule = job.schedule
    if not isinstance(schedule, Once) or schedule.execute_at >= now:
        return None
    late_ms = now - fire_at(job, now, schedule.execute_at)
    if not never_starts(job, late_ms):
        return None
    moment = datetime.fromtimestamp(schedule.execute_at / SECOND, UTC)
    bound = f"catch_up_window is {duration_words(job.catch_up_window_ms)}"
    if job.catch_up is CatchUp.NONE:
        bound = "catch_up is none"
    message = (
        f"`execute_at` is {duration_words(now - schedule.execute_at)} ago "
        f"({moment:%Y-%m-%dT%H:%M:%SZ}), and {bound}: the job would never run"
    )
    return "validation", message, "give an instant to come, or a longer catch_up_window"


def _file_owned(entry: Entry, hint: str) -> _Refusal:
    origin = entry.wanted.origin
    assert origin is not None, "only a static job is owned by a file"
    return "file_owned", f"{entry.job.name} comes from {origin.path}:{origin.line}", hint


def _written(
    now: Mapping[str, JSON], values: Mapping[str, JSON], mode: Literal["merge", "patch", "replace"]
) -> dict[str, JSON]:
    """Return the metadata after a write."""
    if mode == "merge":
        return {**now, **values}
    if mode == "replace":
        return dict(values)
    patched: dict[str, JSON] = merge_patch(now, values)
    return patched


def merge_patch(target: JSON, patch: JSON) -> JSON:
    """Return *target* after a JSON Merge Patch (RFC 7396): null removes a key, objects are merged."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _too_large(name: str, written: Mapping[str, JSON]) -> _Refusal | None:
    size = len(json.dumps(written).encode())
    if size <= METADATA_LIMIT:
        return None
    message = f"the metadata of {name} would have {size} bytes; the limit is {METADATA_LIMIT}"
    return "validation", message, "store large data elsewhere, and its name in the metadata"


def _too_many_marks(name: str, remote: set[str]) -> _Refusal | None:
    """Refuse a write over TCP that would exceed the limit of remotely changed or removed keys."""
    size = len(json.dumps(sorted(remote)).encode())
    if size <= METADATA_LIMIT:
        return None
    message = (
        f"the keys of {name} that clients have changed over TCP would have {size} bytes; "
        f"the limit is {METADATA_LIMIT}"
    )
    hint = f"on luad's own machine: luad metadata {name} --replace KEY=VALUE..."
    return "validation", message, hint


def _remote_keys(entry: Entry, event: MetadataRequested, written: Mapping[str, JSON]) -> set[str]:
    """Return the keys that a client on another machine was the last to change or to remove."""
    before, was = entry.current.metadata, set(entry.overlay.remote)
    if event.is_remote:
        return was | {
            key
            for key in (*before, *written)
            if (key in before) is not (key in written)
            or not is_same_json(before[key], written[key])
        }
    return was - _replaced_keys(event, was)


def _replaced_keys(event: MetadataRequested, keys: set[str]) -> set[str]:
    """Return those of *keys* whose whole value a write gives or removes; a merged object keeps a part."""
    if event.mode == "replace":
        return keys
    return {
        key
        for key in keys & set(event.values)
        if event.mode == "merge" or not isinstance(event.values[key], Mapping)
    }


def _overlay(job: Job, written: Mapping[str, JSON]) -> Overlay:
    """Return the overlay under which the declared metadata reads as *written*."""
    declared = job.metadata
    values = {
        key: value
        for key, value in written.items()
        if key not in declared or not is_same_json(declared[key], value)
    }
    removed = tuple(key for key in declared if key not in written)
    return Overlay(values, removed) if values or removed else NO_OVERLAY
