"""`luad test` in the daemon's world: its environment filter, its working directory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

HANDLERS = """\
import os, subprocess, sys

def look(job):
    child = subprocess.run(["env"], capture_output=True, text=True).stdout
    return {"env": dict(os.environ), "cwd": os.getcwd(), "child": child, "argv": sys.argv}
"""
JOB = """\
name: look
handler: app:look
schedule: {type: cron, expression: "0 9 * * *"}
env: {OF_THE_JOB: "yes", TZ: Asia/Tokyo}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "handlers").mkdir()
    (tmp_path / "jobs.d/look.yaml").write_text(JOB)
    (tmp_path / "handlers/app.py").write_text(HANDLERS)
    return tmp_path


def test_a_trial_sees_the_environment_of_a_run_and_names_what_is_left_out(
    luad: Any, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_MINE", "1")
    monkeypatch.setenv("OF_THE_JOB", "no")
    before = dict(os.environ)
    result = luad("test", "look", "--json", "--attempt", "2", "--at", "2026-05-01T09:00:00Z")
    assert result.code == 0
    seen = result.json["result"]
    assert "ONLY_MINE" not in seen["env"]
    assert "ONLY_MINE" not in seen["child"]
    assert seen["env"]["OF_THE_JOB"] == "yes"
    assert seen["env"]["PATH"] == os.environ["PATH"]
    assert seen["argv"] == ["app:look"]
    ours = {key: value for key, value in seen["env"].items() if key.startswith("LUAD_")}
    assert ours == {
        "LUAD_JOB": "look",
        "LUAD_RUN_ID": "run_test",
        "LUAD_ATTEMPT": "2",
        "LUAD_SCHEDULED_FOR": "2026-05-01T09:00:00Z",
        "LUAD_SOCKET": ours["LUAD_SOCKET"],
    }
    assert "ONLY_MINE" in result.json["environment"]["not_passed"]
    assert "OF_THE_JOB" not in result.json["environment"]["not_passed"]
    assert (seen["cwd"], result.json["working_directory"]) == (str(shop), str(shop))
    assert dict(os.environ) == before, "what a trial changes ends with it"


def test_a_trial_of_a_shared_job_has_no_variables_of_its_run(luad: Any, shop: Path) -> None:
    path = shop / "jobs.d/look.yaml"
    path.write_text(path.read_text().replace("env:", "# env:") + "isolation: shared\n")
    result = luad("test", "look", "--json")
    assert result.code == 0, result.err
    ours = [key for key in result.json["result"]["env"] if key.startswith("LUAD_")]
    assert ours == ["LUAD_SOCKET"]


def test_the_line_names_the_variables_and_pass_env_lets_them_through(
    luad: Any, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_MINE", "1")
    said = luad("test", "look", "-v").err
    line = next(line for line in said.splitlines() if "not passed on" in line)
    assert "ONLY_MINE" in line
    (shop / "luad.yaml").write_text("pass_env: [ONLY_*]\n")
    result = luad("test", "look", "--json")
    assert result.json["result"]["env"]["ONLY_MINE"] == "1"
    assert "ONLY_MINE" not in result.json["environment"]["not_passed"]


@pytest.mark.parametrize("count", [1, 3, 4, 30])
def test_the_line_has_at_most_three_names_without_v(
    luad: Any, shop: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    (shop / "luad.yaml").write_text(f"pass_env: [{', '.join(os.environ)}]\n")
    for number in range(count):
        monkeypatch.setenv(f"MINE_{number:02}", "1")
    said = {
        flags: next(
            line for line in luad("test", "look", *flags).err.splitlines() if "MINE" in line
        )
        for flags in ((), ("-v",))
    }
    assert said["-v",].count("MINE_") == count
    assert said[()].count("MINE_") == min(count, 3)
    assert (f" and {count - 3} more variables  (-v names all; " in said[()]) == (count > 3)


def test_a_job_file_elsewhere_is_tried_in_the_same_way(luad: Any, shop: Path) -> None:
    draft = shop / "draft.yaml"
    draft.write_text(JOB)
    assert json.loads(luad("test", str(draft), "--json").out)["result"]["cwd"] == str(shop)
