"""The daemon under a real systemd: PID 1 of a guest that is thrown away after each test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
HERE = Path(__file__).parent
UNITS = PROJECT / "systemd"

SCENARIOS = [
    "start",
    "reload",
    "crash",
    "watchdog",
    "stop",
    "journal",
    "sandbox",
    "hardened",
    "socket",
    "bad_settings",
    "broken_files",
]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_under_systemd(scenario: str, installation: Path) -> None:
    copies = [
        (installation, "/opt/luad"),
        (UNITS / "luad.socket", "/etc/systemd/system/luad.socket"),
        (UNITS / "sysusers.d/luad.conf", "/etc/sysusers.d/luad.conf"),
        (UNITS / "tmpfiles.d/luad.conf", "/etc/tmpfiles.d/luad.conf"),
    ]
    if scenario == "hardened":
        drop_in = "luad.service.d/hardened.conf"
        copies.append((UNITS / drop_in, f"/etc/systemd/system/{drop_in}"))
    arguments = [part for source, target in copies for part in ("-c", f"{source}:{target}")]
    script = [str(installation / "bin/python"), str(HERE / "guest/scenarios.py"), scenario]
    command = [str(HERE / "run-systemd-test.sh"), *arguments, str(UNITS / "luad.service"), *script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
