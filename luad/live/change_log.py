"""The last change of each subject: what a client must read again that was away since an event.

Rule: bounded; a change costs the same however many clients there are, and reading costs what has changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

KINDS: Final = frozenset(
    {
        "job.installed",
        "job.removed",
        "job.changed",
        "run.claimed",
        "run.changed",
        "delivery.changed",
        "config.changed",
        "attention.changed",
        "user.changed",
    }
)
"""The kinds of events that a client can ask for."""

REMEMBERED: Final = 10_000
MOST_TOLD: Final = 1_000
"""Subjects of one answer; beyond it a client must read again what it shows."""

_LISTS: Final = {"job": "jobs", "run": "runs", "user": "users", "delivery": "messages"}
_FLAGS: Final = {"config": "config", "attention": "attention"}


class ChangeLog:
    """The numbers of the last events of up to `REMEMBERED` subjects, the oldest first."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[int, str]] = {}
        self._dropped = 0  # the highest number of a change that is not remembered

    def note(self, number: int, kind: str, data: Mapping[str, object]) -> None:
        """Remember that the event *number* was about the subject of *data*."""
        key = kind, str(data.get("id", ""))
        self._last.pop(key, None)
        self._last[key] = number, str(data.get("job_id", ""))
        if len(self._last) > REMEMBERED:
            oldest = next(iter(self._last))
            self._dropped = self._last.pop(oldest)[0]

    def since(self, number: int, kinds: Collection[str]) -> dict[str, object]:
        """Return the subjects of events of *kinds* after *number*; nothing if there are none.

        `is_complete` is false if there are more of them.
        """
        found: dict[str, dict[str, None]] = {name: {} for name in _LISTS.values()}
        flags = dict.fromkeys(_FLAGS.values(), False)
        count, is_complete = 0, number >= self._dropped
        for (kind, subject), (last, job_id) in reversed(self._last.items()):
            if last <= number:
                break
            if kind not in kinds:
                continue
            if count == MOST_TOLD:
                is_complete = False
                break
            count += 1
            group = kind.partition(".")[0]
            if group in _FLAGS:
                flags[_FLAGS[group]] = True
            else:
                found[_LISTS[group]][subject] = None
            if job_id:
                found["jobs"][job_id] = None
        if not count and is_complete:
            return {}
        lists = {name: list(subjects) for name, subjects in found.items()}
        return {**lists, **flags, "is_complete": is_complete}
