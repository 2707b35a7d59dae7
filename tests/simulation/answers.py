"""The promise of an answer: it holds from now on, also for the next daemon (I11)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulation.dictstore import key_of
from simulation.history import Key
from simulation.plain import as_text

from luad.core.engine import Engine
from luad.core.events import Event, Reply, StoredJob
from luad.core.model import Job
from luad.core.requests import (
    CancelRequested,
    ChangeRequested,
    CreateRequested,
    DeleteRequested,
    MetadataRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    TriggerRequested,
)

ASPECTS = ("definition", "paused", "metadata")
OF_RUNS = frozenset({"run", "cancelled"})
_ANEW = frozenset({"created", "replaced"})


def shape(row: StoredJob, job: Job) -> Iterator[tuple[Key, Any]]:
    """The stored form of a job, as it would be acknowledged. *job* is its definition."""
    overlay = row.progress.overlay
    metadata = {**job.metadata, **overlay.values}
    for key in overlay.removed:
        metadata.pop(key, None)
    values = row.revision, row.progress.pause is not None, as_text(metadata)
    for aspect, value in zip(ASPECTS, values, strict=True):
        yield (key_of(row), aspect), value


def promised(event: Event | None, reply: Reply, engine: Engine) -> list[tuple[Key, Any]]:
    """What somebody is told by a reply that grants what *event* asks for."""
    match event:
        case TriggerRequested() | RetryRequested():
            return [((reply.value.id, "run"), True)]
        case CancelRequested(run_id=run_id):
            return [((run_id, "cancelled"), True)]
        case PauseRequested(job_name=name):
            return [((name, "paused"), True)]
        case ResumeRequested(job_name=name):
            return [((name, "paused"), False)]
        case MetadataRequested(job_name=name):
            return [((name, "metadata"), as_text(reply.value))]
        case ChangeRequested(job_name=name) | DeleteRequested(job_name=name):
            return [_definition(name, engine)]
        case CreateRequested():
            granted = [each.job_name for each in reply.value if each.outcome != "refused"]
            return [_definition(name, engine) for name in granted]
        case _:
            return []


def begun_anew(event: Event | None, reply: Reply) -> list[str]:
    """Jobs of which an earlier answer of the same batch is worth nothing any more."""
    match event:
        case ChangeRequested(job_name=name) | DeleteRequested(job_name=name):
            return [name]
        case CreateRequested():
            return [each.job_name for each in reply.value if each.outcome in _ANEW]
        case _:
            return []


def _definition(name: str, engine: Engine) -> tuple[Key, Any]:
    entry = engine.entries.get(name)
    return (name, "definition"), None if entry is None else entry.job.revision
