"""The daemon under a real systemd: PID 1 of a guest that is thrown away after each test."""

from __future__ import annotations

import os
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
    "stray_signal",
    "socket_beside",
    "install",
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
    arguments += ["-e", "LUAD_CHECKOUT"]
    command = [str(HERE / "run-systemd-test.sh"), *arguments, str(UNITS / "luad.service"), *script]
    environ = {**os.environ, "LUAD_CHECKOUT": str(PROJECT)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=110, env=environ
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_the_wheel_carries_the_systemd_files(installation: Path, tmp_path: Path) -> None:
    command = [str(installation / "bin/luad"), "systemd", "print", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, timeout=60)
    unit = (tmp_path / "luad.service").read_text()
    assert f"ExecStart={installation}/bin/luad serve" in unit
    assert (tmp_path / "sysusers.d/luad.conf").exists()
