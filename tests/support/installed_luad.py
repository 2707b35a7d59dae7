"""luad installed from its wheel, in a place that every user of the machine can reach."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PLACE = Path("/opt")  # not /root, not /home: the daemon's user has to reach it


def installed_luad() -> Path:
    """A venv with luad installed from its wheel, for users other than root.

    The dependencies are installed once for each set of them and kept; luad itself once for each
    state of the sources, into a small venv that looks through to the large one.
    """
    python = find_python()
    large = PLACE / f"luad-test-{_digest(python, *_dependencies())}"
    small = large / "installs" / _digest(*(file.read_bytes() for file in _sources()))
    with _locked(PLACE / ".luad-test.lock"):
        if not (large / "complete").exists():
            _run(python, "-m", "venv", "--clear", str(large))
            _run(f"{large}/bin/pip", "install", "-q", "hatchling", *_dependencies())
            (large / "complete").touch()
        if not (small / "complete").exists():
            _run(python, "-m", "venv", "--clear", "--without-pip", str(small))
            (site,) = small.glob("lib/python*/site-packages")
            (packages,) = large.glob("lib/python*/site-packages")
            (site / "dependencies.pth").write_text(f"{packages}\n")
            options = ["-q", "--no-deps", "--no-build-isolation", str(PROJECT)]
            _run(f"{large}/bin/pip", "--python", f"{small}/bin/python", "install", *options)
        (small / "complete").touch()
        _forget_old(small)
    return small


def _forget_old(current: Path) -> None:
    """Remove installations of other states of the sources that nobody has used for an hour."""
    now = (current / "complete").stat().st_mtime
    for other in current.parent.iterdir():
        mark = other / "complete"
        if other != current and (not mark.exists() or now - mark.stat().st_mtime > 3600):
            shutil.rmtree(other)


def find_python() -> str:
    """A Python of at least 3.11 with `venv` that other users can run, too."""
    names = [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"]
    names += [f"/usr/bin/python3.{minor}" for minor in range(11, 20)]
    check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    for name in names:
        path = Path(name).resolve()
        if path.exists() and _is_open_to_all(path):
            done = subprocess.run([path, "-c", check], check=False, capture_output=True)
            if done.returncode == 0:
                return str(path)
    raise AssertionError("no Python >= 3.11 with venv outside /root: apt-get install python3-venv")


def _is_open_to_all(path: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def _dependencies() -> list[str]:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        dependencies: list[str] = tomllib.load(file)["project"]["dependencies"]
    return dependencies


def _sources() -> list[Path]:
    files = [PROJECT / "pyproject.toml", PROJECT / "README.md"]
    for folder in ("luad", "schemas", "systemd"):
        files += (PROJECT / folder).rglob("*")
    return sorted(file for file in files if file.is_file() and file.suffix != ".pyc")


def _digest(*parts: str | bytes) -> str:
    data = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.blake2b(data, digest_size=6).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
