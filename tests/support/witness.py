"""A witness of how busy the machine is: a process that starts another one at every whole second.

A test that asks whether the daemon was late compares the daemon with the witness of the same seconds.
A witness does what a run needs: it wakes up, makes a file durable and starts a Python process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import sleep

from luad.clock import wall_ms

SECOND_MS = 1_000


class Witness:
    """A process that writes down how late each second was, in a file of *folder*; close it."""

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "witness"
        self._process = subprocess.Popen([sys.executable, __file__, str(self._notes)])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def worst_delay_ms(folder: Path) -> int:
    """Return the longest delay that witnesses wrote down in *folder*, in milliseconds."""
    notes = folder / "witness"
    return max(map(int, notes.read_text().split()), default=0) if notes.exists() else 0


def _watch(notes: Path) -> None:
    with notes.open("a") as file:
        while True:
            due = (wall_ms() // SECOND_MS + 1) * SECOND_MS
            sleep((due - wall_ms()) / SECOND_MS)  # until the next whole second
            os.fsync(file.fileno())
            subprocess.run([sys.executable, "-c", ""], check=True)
            file.write(f"{wall_ms() - due}\n")
            file.flush()


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
