"""The metadata of a job with the changes that its runs and requests have made.

Rule: pure; values in, values out.
"""

from __future__ import annotations

import json

from luad.core.installed import NO_OVERLAY, Overlay
from luad.core.model import JSON, Job


def lay_over(job: Job, overlay: Overlay) -> dict[str, object]:
    """Return the metadata of *job* with the changes of *overlay*."""
    merged = {**job.metadata, **overlay.values}
    for key in overlay.removed:
        merged.pop(key, None)
    return merged


def is_same_json(one: JSON, other: JSON) -> bool:
    """Return whether two JSON values are equal; unlike in Python, true is not 1."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def without_redeclared(overlay: Overlay, old: Job, new: Job) -> Overlay:
    """Return *overlay* without the keys whose declaration differs between *old* and *new*."""
    changed = {
        key
        for key in (*old.metadata, *new.metadata)
        if (key in old.metadata) is not (key in new.metadata)
        or not is_same_json(old.metadata[key], new.metadata[key])
    }
    values = {key: value for key, value in overlay.values.items() if key not in changed}
    removed = tuple(key for key in overlay.removed if key not in changed)
    remote = tuple(key for key in overlay.remote if key not in changed)
    return Overlay(values, removed, remote) if values or removed or remote else NO_OVERLAY
