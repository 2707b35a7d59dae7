"""`luad systemd print`: the unit for this luad, and the files that belong to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

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
