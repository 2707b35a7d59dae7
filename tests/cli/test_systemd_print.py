"""`luad systemd print`: the unit for this luad, and the files that belong to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from luad.cli.commands.systemd import warnings_about

PROJECT = Path(__file__).parents[2]


def test_the_unit_names_the_luad_that_printed_it(luad: Any) -> None:
    done = luad("systemd", "print")
    assert done.code == 0
    program = Path(sys.executable).parent / "luad"
    assert f"\nExecStart={program} serve --jobs /etc/luad/jobs.d" in done.out
    assert f"\nExecReload={program} reload\n" in done.out
    assert "/opt/luad/bin/luad" not in done.out


def test_all_files_are_written_and_again(luad: Any, tmp_path: Path) -> None:
    shipped = {
        str(path.relative_to(PROJECT / "systemd"))
        for path in (PROJECT / "systemd").rglob("*")
        if path.is_file() and path.suffix != ".sh"
    }
    for _ in range(2):
        done = luad("systemd", "print", "--out", tmp_path / "units", "--json")
        written = {
            str(Path(each).relative_to(tmp_path / "units"))
            for each in json.loads(done.out)["written"]
        }
        assert written == shipped
    assert (tmp_path / "units" / "luad.socket").read_text() == (
        PROJECT / "systemd" / "luad.socket"
    ).read_text()


def test_a_place_that_cannot_be_written_is_named(luad: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = luad("systemd", "print", "--out", tmp_path / "file" / "units")
    assert done.code == 1
    assert f"cannot write {tmp_path}/file/units/luad.service" in done.err


def test_a_file_that_was_edited_stays_until_force(luad: Any, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    assert luad("systemd", "print", "--out", folder).code == 0
    unit, other = folder / "luad.service", folder / "tmpfiles.d" / "luad.conf"
    shipped = unit.read_text()
    unit.write_text(shipped + "# mine\n")
    other.unlink()
    done = luad("systemd", "print", "--out", folder, "--json")
    assert done.code == 8
    assert done.json["kept"] == [str(unit)]
    assert f"kept {unit}: it differs" in done.err
    assert "--force overwrites it" in done.err
    assert unit.read_text() == shipped + "# mine\n"
    assert other.exists(), "what is missing is written all the same"
    done = luad("systemd", "print", "--out", folder, "--force", "--json")
    assert (done.code, done.json["kept"]) == (0, [])
    assert unit.read_text() == shipped


def test_force_belongs_to_out(luad: Any) -> None:
    done = luad("systemd", "print", "--force")
    assert done.code == 2
    assert "--force has no meaning without --out" in done.err


@pytest.mark.parametrize(
    ("path", "setting"),
    [
        ("/root/.venv/bin/luad", "ProtectHome"),
        ("/home/ann/luad/.venv/bin/luad", "ProtectHome"),
        ("/run/user/1000/venv/bin/luad", "ProtectHome"),
        ("/tmp/venv/bin/luad", "PrivateTmp"),
        ("/var/tmp/venv/bin/luad", "PrivateTmp"),
    ],
)
def test_a_program_that_the_sandbox_hides_is_a_warning(path: str, setting: str) -> None:
    """The same for the interpreter that the venv links to."""
    unit = (PROJECT / "systemd" / "luad.service").read_text()
    assert f"\n{setting}=yes\n" in unit
    for program, python in ((path, "/usr/bin/python3"), ("/opt/luad/bin/luad", path)):
        (line,) = warnings_about(program, python)
        assert f"cannot see {path} ({setting})" in line
    assert warnings_about("/opt/luad/bin/luad", "/usr/bin/python3.11") == []


@pytest.mark.parametrize("folder", ["/root/x", "/home/x", "/tmp/x", "/var/tmp/x"])
def test_the_installer_refuses_the_same_places(folder: str) -> None:
    installer = PROJECT / "systemd" / "install.sh"
    done = subprocess.run(
        ["sh", installer, "--prefix", folder],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"the service cannot see {folder}" in done.stderr
