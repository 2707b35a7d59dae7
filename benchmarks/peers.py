"""Peers with exact versions, in virtual environments of their own, to be measured beside luad.

The extras `bench` and `bench-apscheduler4` of pyproject.toml name them. APScheduler 4 cannot share an environment
with APScheduler 3. Programs that are not Python packages (supercronic, cronie) are measured where they are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.common import ROOT, Bench

DAEMONS: Final = ("yacron", "cronstable")
INSTALL_S: Final = 240
VARIABLE: Final = "LUAD_BENCH_PEERS"
HOME: Final = ROOT / "benchmarks" / ".peers"


@dataclass(frozen=True, slots=True)
class Peer:
    """One that could be installed: its command, or the Python that imports it, and its version."""

    name: str
    command: str
    version: str

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


@contextmanager
def installed(bench: Bench, *names: str) -> Iterator[list[Peer]]:
    """Return the peers of these names, which are commands; say which are missing, and why."""
    yield [each for name in names if (each := _command(bench, name)) is not None]


def library(bench: Bench, package: str, extra: str = "bench") -> Peer | None:
    """Return the Python that can import *package*, as the command of a peer."""
    version, reason = _pinned(extra).get(package.lower(), ""), ""
    venv = _environment(extra)
    if not version:
        reason = f"the extra `{extra}` does not name it"
    else:
        reason = _install(venv, f"{package}=={version}")
    if reason:
        bench.skip(package, reason)
        return None
    return Peer(package, str(venv / "bin" / "python"), version)


def program(bench: Bench, name: str) -> Peer | None:
    """Return a program of the system, if there is one."""
    if (path := shutil.which(name)) is None:
        bench.skip(name, "it is not installed on this machine")
        return None
    return Peer(name, path, _version(path))


def _command(bench: Bench, name: str) -> Peer | None:
    found = library(bench, name)
    if found is None:
        return None
    return Peer(name, str(Path(found.command).with_name(name)), found.version)


def _environment(extra: str) -> Path:
    """Where the packages of *extra* are. $LUAD_BENCH_PEERS names another place for those of `bench`."""
    ready = os.environ.get(VARIABLE)
    return Path(ready) if ready and extra == "bench" else HOME / extra


def _pinned(extra: str) -> dict[str, str]:
    """The exact version of each package of an extra, by the name in lower case."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pairs = (each.split("==") for each in project["optional-dependencies"][extra])
    return {name.lower(): version for name, version in pairs}


def _install(venv: Path, requirement: str) -> str:
    """Install a package unless it is there; return why it is missing, or an empty text."""
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    name, _, version = requirement.partition("==")
    look = f"import importlib.metadata as m; assert m.version({name!r}) == {version!r}"
    try:
        if not Path(python).exists():
            _run([sys.executable, "-m", "venv", str(venv)])
        if subprocess.run([python, "-c", look], check=False, capture_output=True).returncode:
            _run([*pip, requirement])
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit {error.returncode}"]
        return f"it could not be installed ({lines[-1]})"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it could not be installed ({error})"
    return ""


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)


def _version(command: str) -> str:
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).split()
    return words[-1] if words else "?"
