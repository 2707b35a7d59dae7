"""Tests in a guest need root, systemd and a mounted cgroup2. Where one is missing they are left out,
and the summary says so; with LUAD_SYSTEM_TESTS=required they run (and fail) all the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.installed_luad import installed_luad


def missing() -> list[str]:
    """Return the missing parts for a systemd of the tests' own."""
    lacks = [] if os.geteuid() == 0 else ["root"]
    lacks += [tool for tool in ("systemd-analyze", "unshare", "nsenter") if not shutil.which(tool)]
    lacks += [] if Path("/lib/systemd/systemd").exists() else ["systemd"]
    kernel = Path("/proc/filesystems").read_text() if Path("/proc/filesystems").exists() else ""
    lacks += [] if "overlay" in kernel else ["overlayfs"]
    mounts = Path("/proc/self/mounts").read_text() if Path("/proc/self/mounts").exists() else ""
    lacks += [] if " cgroup2 " in mounts else ["a cgroup2 mount"]
    return lacks


GUESTS = ("test_systemd.py", "test_units.py")
IS_REQUIRED = os.environ.get("LUAD_SYSTEM_TESTS") == "required"
LACKS = missing()
collect_ignore_glob = [] if IS_REQUIRED or not LACKS else list(GUESTS)
FOR_ROOT = (
    "test_fault_container.py",
    "test_fault_mounts.py",
    "test_fault_peers.py",
    "test_fault_spawning.py",
    "test_install.py",
    "test_kubernetes.py",
)
if os.geteuid() != 0 and not IS_REQUIRED:
    collect_ignore_glob += FOR_ROOT


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if collect_ignore_glob:
        terminalreporter.write_line(
            f"left out {', '.join(collect_ignore_glob)}: no {', no '.join(LACKS)}", yellow=True
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in GUESTS:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def installation() -> Path:
    """A venv with luad installed from its wheel, for users other than root."""
    return installed_luad()
