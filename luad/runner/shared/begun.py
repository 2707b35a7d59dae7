"""A memory of which runs have begun; it survives the shared process.

The process marks a run just before it begins it. If the process dies, the daemon knows which of the runs that
it had sent have certainly not begun, and gives them to another process.

Rule: the process only marks, and the daemon only reads and clears.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

SLOTS: Final = 256
"""The most runs that a process may have and not have begun; more would only be at risk."""


class Begun:
    """A byte for each of `SLOTS` runs, in the memory behind *descriptor*; None makes a new one."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("luad-begun")
            os.ftruncate(descriptor, SLOTS)
        self.descriptor = descriptor
        self._bytes = mmap.mmap(descriptor, SLOTS)

    def mark(self, slot: int) -> None:
        """Note that the run of *slot* begins."""
        self._bytes[slot] = 1

    def clear(self, slot: int) -> None:
        """Free *slot* for another run."""
        self._bytes[slot] = 0

    def has(self, slot: int) -> bool:
        """Return True if the run of *slot* has begun."""
        return self._bytes[slot] != 0

    def close(self) -> None:
        """Give the memory back."""
        self._bytes.close()
        os.close(self.descriptor)
