"""The shipped units as systemd itself judges them, without starting anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
EXPOSURE_LIMIT = "15"  # tenths: 1.5 of 10


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that exists on this machine, which `verify` insists on."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder, ignore=shutil.ignore_patterns("*.service.d"))
    for service in folder.glob("*.service"):
        service.write_text(service.read_text().replace("/opt/luad/bin/luad", "/bin/true"))
    return folder


def harden(units: Path) -> None:
    shutil.copytree(UNITS / "luad.service.d", units / "luad.service.d")


def analyze(*args: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("is_hardened", [False, True])
def test_every_line_of_the_units_is_known_to_systemd(units: Path, is_hardened: bool) -> None:
    if is_hardened:
        harden(units)
    names = [str(units / name) for name in ("luad.service", "luad.socket", "luad-worker.service")]
    done = analyze("verify", "--man=no", "--recursive-errors=one", *names)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["luad.service", "hardened", "luad-worker.service"])
def test_the_sandbox_leaves_little_open(units: Path, name: str) -> None:
    if name == "hardened":
        harden(units)
        name = "luad.service"
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_LIMIT}", str(units / name))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["luad.service", "luad-worker.service"])
def test_the_service_has_its_walls_and_its_ends(name: str) -> None:
    """Line by line, since a threshold does not tell which wall is missing."""
    wanted = """
    Type=notify|WatchdogSec=30|Restart=always|StartLimitIntervalSec=0|KillMode=mixed|OOMPolicy=continue
    User=luad|NoNewPrivileges=yes|ProtectSystem=strict|ProtectHome=yes|PrivateTmp=yes|PrivateDevices=yes
    ProtectKernelLogs=yes|ProtectKernelModules=yes|ProtectKernelTunables=yes|ProtectClock=yes
    ProtectControlGroups=yes|ProtectProc=invisible|RestrictNamespaces=yes|RestrictSUIDSGID=yes
    StateDirectoryMode=0700|RestartPreventExitStatus=78
    LockPersonality=yes|CapabilityBoundingSet=|SystemCallFilter=@system-service|LimitCORE=0|UMask=0027
    """
    lines = (UNITS / name).read_text().splitlines()
    assert set(wanted.replace("|", "\n").split()) - set(lines) == set()


def test_every_file_tells_how_it_is_installed() -> None:
    for path in UNITS.rglob("*.*"):
        if path.is_file():
            head = path.read_text().split("\n[", 1)[0]
            assert head.startswith(("# ", "#!/bin/sh\n# "))
            assert "install -Dm644" in head


def test_the_folders_of_jobs_users_and_handlers_are_made() -> None:
    lines = (UNITS / "tmpfiles.d/luad.conf").read_text().splitlines()
    made = {line.split()[1]: line.split()[2:5] for line in lines if line.startswith("d ")}
    assert made == {
        "/etc/luad": ["0755", "root", "root"],
        **{
            f"/etc/luad/{name}": ["0750", "root", "luad"]
            for name in ("jobs.d", "handlers", "users.d")
        },
    }
