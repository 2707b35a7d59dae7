"""A command on a terminal of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from fcntl import ioctl
from pathlib import Path

ANSI = re.compile(r"\x1b\[[0-9;]*[mK]")


class Terminal:
    """Runs luad with all three streams on a terminal, and reads what it shows."""

    def __init__(
        self, *args: str, env: Mapping[str, str], columns: int = 100, folder: Path | None = None
    ) -> None:
        self.ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        kept = {key: text for key, text in env.items() if key not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "luad", *args],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=folder,
            env={**kept, "TERM": "xterm", "LANG": "C.UTF-8"},
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    def until(self, is_seen: Callable[[str], object]) -> str:
        """Read until *is_seen* says so of all that was shown, or the command ends."""
        while not is_seen(self.text) and select.select([self.ours], [], [], 60)[0]:
            try:
                data = os.read(self.ours, 65_536)
            except OSError:  # EIO: the other end is closed
                break
            self.shown += data.decode()
        return self.text

    @property
    def text(self) -> str:
        """Return the shown text without colours."""
        return ANSI.sub("", self.shown)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        self.until(lambda _: False)
        os.close(self.ours)
        return self.process.wait(60)
