"""Converts jobs of the engine to rows of `jobs` and `revisions`, and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from luad.core.events import InstallJob, RemoveJob, SaveProgress, SaveStanding, StoredJob
from luad.core.installed import (
    IN_FORCE,
    NO_ALERT,
    NO_OVERLAY,
    Acknowledgement,
    AlertState,
    Overlay,
    Pause,
    Standing,
)
from luad.core.model import JSON, Creation, Instant, Origin
from luad.store.columns import to_int, to_json, to_text, to_text_or_none
from luad.store.prepared import Value, Values
from luad.store.tables import jobs

_BY_LUAD: Final = "luad"

COLUMNS: Final = (
    jobs.c.job_id,
    jobs.c.name,
    jobs.c.revision,
    jobs.c.definition_json,
    jobs.c.origin_path,
    jobs.c.origin_line,
    jobs.c.installed_at,
    jobs.c.grid_at,
    jobs.c.handled_until,
    jobs.c.consecutive_failures,
    jobs.c.paused_at,
    jobs.c.paused_until,
    jobs.c.pause_reason,
    jobs.c.pause_author,
    jobs.c.pause_revision,
    jobs.c.pause_schedule_since,
    jobs.c.created_at,
    jobs.c.created_by,
    jobs.c.created_by_run,
    jobs.c.overlay_json,
    jobs.c.alert_json,
    jobs.c.holds_name,
    jobs.c.over_at,
    jobs.c.displaced_at,
    jobs.c.displaced_reason,
    jobs.c.consecutive_stops,
)
"""The columns of a row for `read_job`, in this order."""


def job_row(record: InstallJob) -> dict[str, Any]:
    """Return the row of a new job; an installed job keeps its progress and its `installed_at`."""
    at = to_int(record.at)
    origin = record.origin
    return {
        "job_id": to_text(record.job_id),
        "name": to_text(record.job.name),
        "revision": to_text(record.job.revision),
        "definition_json": to_json(record.job.definition),
        "origin_path": None if origin is None else to_text(origin.path),
        "origin_line": None if origin is None else to_int(origin.line),
        "installed_at": at,
        "grid_at": at,
        "handled_until": at,
        "consecutive_failures": 0,
        "created_at": None,
        "created_by": None,
        "created_by_run": None,
        "holds_name": int(record.holds_name),
        **_creation_row(record.creation),
    }


def _creation_row(creation: Creation | None) -> dict[str, Any]:
    if creation is None:
        return {}
    return {
        "created_at": to_int(creation.at),
        "created_by": to_text(creation.author),
        "created_by_run": to_text_or_none(creation.run_id),
    }


def revision_row(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of the revision of *job*, a row of `job_row`."""
    return {
        "job_id": job["job_id"],
        "revision": job["revision"],
        "name": job["name"],
        "definition_json": job["definition_json"],
        "first_seen_at": job["installed_at"],
        "last_installed_at": job["installed_at"],
        "created_by_run": job["created_by_run"],
        "gone_at": None,
        "gone_json": None,
    }


PROGRESS: Final = (
    "grid_at",
    "handled_until",
    "consecutive_failures",
    "paused_at",
    "paused_until",
    "pause_reason",
    "pause_author",
    "overlay_json",
    "alert_json",
    "pause_revision",
    "consecutive_stops",
    "pause_schedule_since",
)
"""The columns of `jobs` that change while a job is installed."""


def progress_row(record: SaveProgress) -> Values:
    """Return the columns of `PROGRESS` that have a value; `b_job_id` names the row."""
    row: dict[str, Value] = {
        "grid_at": to_int(record.grid_at),
        "handled_until": to_int(record.handled_until),
        "consecutive_failures": to_int(record.consecutive_failures),
    }
    pause, overlay, alert = record.pause, record.overlay, record.alert
    if pause is not None:
        row["paused_at"] = to_int(pause.at)
        if pause.until is not None:
            row["paused_until"] = to_int(pause.until)
        row["pause_reason"] = to_text(pause.reason)
        row["pause_author"] = to_text(pause.author)
    if overlay is not NO_OVERLAY and overlay != NO_OVERLAY:
        row["overlay_json"] = _overlay_json(overlay)
    if alert is not NO_ALERT and alert != NO_ALERT:
        row["alert_json"] = _alert_json(alert)
    if pause is not None:
        row["pause_revision"] = to_text(pause.revision)
        if pause.schedule_since is not None:
            row["pause_schedule_since"] = to_int(pause.schedule_since)
    if record.consecutive_stops:
        row["consecutive_stops"] = to_int(record.consecutive_stops)
    row["b_job_id"] = to_text(record.job_id)
    return row


STANDING: Final = ("holds_name", "over_at", "displaced_at", "displaced_reason")
"""The columns of `jobs` with the standing of a job."""


def standing_row(record: SaveStanding) -> Values:
    """Return the columns of `STANDING` that have a value; `b_job_id` names the row."""
    standing = record.standing
    row: dict[str, Value] = {"holds_name": int(standing.holds_name)}
    if standing.over_at is not None:
        row["over_at"] = to_int(standing.over_at)
    if (displaced := standing.displaced) is not None:
        row["displaced_at"] = to_int(displaced.at)
        row["displaced_reason"] = to_text(displaced.reason)
    row["b_job_id"] = to_text(record.job_id)
    return row


def gone_row(record: RemoveJob) -> dict[str, Any]:
    """Return the columns of `revisions` about the removal of a job; `b_job_id` names the rows."""
    origin, creation = record.origin, record.creation
    value = {
        "status": record.status.value,
        "origin": None if origin is None else [origin.path, origin.line],
        "creation": None if creation is None else [creation.at, creation.author, creation.run_id],
    }
    return {
        "b_job_id": to_text(record.job_id),
        "gone_at": to_int(record.at),
        "gone_json": to_json(value),
    }


def _overlay_json(overlay: Overlay) -> str:
    kept: dict[str, JSON] = {"values": overlay.values, "removed": list(overlay.removed)}
    return to_json(kept | {"remote": list(overlay.remote)} if overlay.remote else kept)


def _alert_json(alert: AlertState) -> str:
    parts: list[JSON] = [alert.cause, list(alert.failed_at), alert.succeeded_at]
    if (known := alert.acknowledged) is not None:
        parts.append([known.at, known.author, known.note, known.until])
    return to_json(parts)


def read_job(row: Iterable[Any]) -> StoredJob:
    """Return the job of a row of `COLUMNS`. Raises ValueError for an invalid row."""
    # By place and all at once, because a start may read very many; by name it takes twice as long.
    (
        job_id,
        name,
        revision,
        definition,
        origin_path,
        origin_line,
        installed_at,
        grid_at,
        handled_until,
        failures,
        paused_at,
        paused_until,
        pause_reason,
        pause_author,
        pause_revision,
        schedule_since,
        created_at,
        created_by,
        created_by_run,
        overlay,
        alert,
        holds_name,
        over_at,
        displaced_at,
        displaced_reason,
        stops,
    ) = row
    why = (pause_reason, pause_author, paused_until, pause_revision or "", schedule_since)
    pause = None if paused_at is None else Pause(paused_at, *why)
    progress = SaveProgress(
        *(job_id, _once(grid_at, installed_at), _once(handled_until, installed_at)),
        *(failures, pause),
        NO_OVERLAY if overlay is None else _read_overlay(overlay),
        NO_ALERT if alert is None else read_alert(alert),
        stops or 0,
    )
    origin = None if origin_path is None else Origin(origin_path, origin_line)
    creation = None
    if created_at is not None:
        creation = Creation(created_at, sys.intern(created_by or ""), created_by_run)
    standing = IN_FORCE
    if over_at is not None or not holds_name:
        standing = Standing(bool(holds_name), over_at, _displaced(displaced_at, displaced_reason))
    return StoredJob(
        job_id, name, definition, revision, origin, installed_at, progress, creation, standing
    )


def _once(number: Instant, known: Instant) -> Instant:
    """Return *number*, as the object *known* if the two are equal, so that it is in memory once."""
    return known if number == known else number


def _displaced(at: Instant | None, reason: str | None) -> Pause | None:
    return None if at is None else Pause(at, reason or "", _BY_LUAD)


def _read_overlay(text: str) -> Overlay:
    match json.loads(text):
        case {"values": dict(values), "removed": list(removed), **more}:
            return Overlay(
                values, tuple(removed), tuple(map(str, cast("list[str]", more.get("remote", []))))
            )
    raise ValueError("this is not an overlay of metadata")


def read_alert(text: str) -> AlertState:
    """Return the state of a job's alert. Raises ValueError for a text that is not one."""
    match json.loads(text):
        case [str(cause), list(failed_at), int() | None as succeeded_at, *more]:
            return AlertState(cause, tuple(failed_at), succeeded_at, _read_acknowledgement(more))
    raise ValueError("this is not the state of an alert")


def _read_acknowledgement(parts: list[object]) -> Acknowledgement | None:
    match parts:
        case []:
            return None
        case [[int(at), str(author), str(note), int() | None as until]]:
            return Acknowledgement(at, author, note, until)
    raise ValueError("this is not an acknowledgement")
