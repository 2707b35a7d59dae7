"""yacron and cronstable, installed into a throw-away environment to be measured beside luad."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.common import Bench, work_folder

NAMES: Final = ("yacron", "cronstable")
INSTALL_S: Final = 240
VARIABLE: Final = "LUAD_BENCH_PEERS"


@dataclass(frozen=True, slots=True)
class Peer:
    """One that could be installed: its command and version."""

    name: str
    command: str
    version: str


@contextmanager
def installed(bench: Bench, *names: str) -> Iterator[list[Peer]]:
    """Install the peers of these names for a while; say which are missing, and why.

    $LUAD_BENCH_PEERS names a virtual environment that has them already, which saves the installation.
    """
    if ready := os.environ.get(VARIABLE):
        yield _look(bench, Path(ready), names, f"not in ${VARIABLE}")
        return
    with work_folder() as folder:
        venv = folder / "venv"
        reason = _make(venv, names)
        yield _look(bench, venv, names, reason)


def _make(venv: Path, names: tuple[str, ...]) -> str:
    """Make the environment; return why something in it may be missing."""
    steps = [[sys.executable, "-m", "venv", str(venv)]]
    pip = [str(venv / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
    steps += [[*pip, name] for name in names]
    reason = ""
    for step in steps:
        try:
            subprocess.run(step, check=True, capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines() or [f"exit {error.returncode}"]
            reason = lines[-1]
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
    return reason


def _look(bench: Bench, venv: Path, names: tuple[str, ...], reason: str) -> list[Peer]:
    found = []
    for name in names:
        command = venv / "bin" / name
        if command.exists():
            found.append(Peer(name, str(command), _version(command)))
        else:
            bench.note(f"SKIPPED {name}: it could not be installed ({reason or 'no such command'})")
    return found


def _version(command: Path) -> str:
    done = subprocess.run([str(command), "--version"], capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).split()
    return words[-1] if words else "?"
