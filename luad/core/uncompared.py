"""The static jobs of the previous daemon whose files are not compared yet, and those of them that would start.

Rule: part of the engine's state; stores ids, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator


class Uncompared:
    """The ids of the jobs whose files are not compared yet, oldest first; *held* would start but for that."""

    def __init__(self) -> None:
        self.held: dict[str, None] = {}
        self._ids: dict[str, None] = {}

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, job_id: str) -> None:
        """Add a job."""
        self._ids[job_id] = None

    def hold(self, job_id: str) -> bool:
        """Return whether the job must wait for the comparison of its file, and note that it would start."""
        if job_id not in self._ids:
            return False
        self.held[job_id] = None
        return True

    def discard(self, job_id: str) -> bool:
        """Remove a job, if present; return whether it was held."""
        self._ids.pop(job_id, None)
        if not self._ids:
            self._ids = {}  # the emptied dict would keep its memory
        was_held = job_id in self.held
        self.held.pop(job_id, None)
        return was_held
