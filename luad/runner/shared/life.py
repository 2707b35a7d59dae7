"""Decides when a shared process must be replaced: after a change of code, many runs, or growth.

Rule: it answers, and ends nothing.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from luad.runner.shared.sources import Sources

MOST_RUNS: Final = 100_000
MOST_GROWTH: Final = 256 << 20
"""Bytes of resident memory above those after the first runs."""

_FIRST_RUNS: Final = 100  # they load what handlers import
_EACH: Final = 100  # runs between two looks at the memory


class Life:
    """The state of one shared process."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._run_count = 0
        self._first_bytes = 0
        self._why = ""

    def count_run(self) -> None:
        """Note that a run is over."""
        self._run_count += 1
        if self._run_count >= MOST_RUNS:
            self._why = f"it has executed {MOST_RUNS:,} runs"
        if self._run_count == _FIRST_RUNS:
            self._first_bytes = resident_bytes()
        elif self._run_count % _EACH == 0 and resident_bytes() - self._first_bytes > MOST_GROWTH:
            self._why = f"it has grown by more than {MOST_GROWTH >> 20} MiB"

    def over(self) -> str:
        """Return why the process must not begin further runs; empty if it may."""
        if not self._why and (path := self._sources.changed()):
            self._why = f"{path} has changed"
        return self._why


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
