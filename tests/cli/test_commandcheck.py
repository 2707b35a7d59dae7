"""`luad check` and the programs that commands start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

JOB = """\
name: {name}
handler: luad.handlers.shell:run
schedule: {{type: cron, expression: "0 9 * * *"}}
env: {env}
metadata: {metadata}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/only-here"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def write(shop: Path, metadata: dict[str, Any], env: dict[str, str] | None = None) -> None:
    text = JOB.format(name="tool", env=json.dumps(env or {}), metadata=json.dumps(metadata))
    (shop / "jobs.d/tool.yaml").write_text(text)


@pytest.mark.parametrize(
    ("command", "column"),
    [
        ("only-here --all", 23),
        ("A=1 only-here", 23),
        (["only-here", "--all"], 24),
        ("/no/such/program", 23),
        ("bin/absent", 23),
    ],
)
@pytest.mark.slow
def test_a_program_that_is_not_found_is_a_warning(
    luad: Any, shop: Path, command: Any, column: int
) -> None:
    write(shop, {"command": command})
    result = luad("check", "--json")
    assert result.code == 0
    (found,) = result.json
    assert (found["code"], found["severity"]) == ("LU315", "warning")
    assert found["location"] == {"row": 5, "column": column}
    assert luad("check", "--strict").code == 1


@pytest.mark.parametrize(
    ("metadata", "env"),
    [
        ({"command": "ls -l"}, {}),
        ({"command": ["ls"]}, {}),
        ({"command": "only-here | cat"}, {}),
        ({"command": "only-here; true"}, {}),
        ({"command": "cd /tmp"}, {}),
        ({"command": ["bin/only-here"]}, {}),
        ({"command": ["./only-here"], "cwd": "bin"}, {}),
        ({"command": "only-here"}, {"PATH": "{shop}/bin"}),
        ({"command": "only-here", "env": {"PATH": "{shop}/bin"}}, {"PATH": "/nowhere"}),
        ({"command": 5}, {}),
    ],
)
@pytest.mark.slow
def test_what_is_found_or_is_not_known_is_no_warning(
    luad: Any, shop: Path, metadata: dict[str, Any], env: dict[str, str]
) -> None:
    text = json.dumps([metadata, env]).replace("{shop}", str(shop))
    write(shop, *json.loads(text))
    assert [each for each in luad("check", "--json").json if each["code"] == "LU315"] == []


def test_the_path_of_the_job_is_the_one_that_counts(luad: Any, shop: Path) -> None:
    write(shop, {"command": "ls"}, {"PATH": "/nowhere"})
    (found,) = [each for each in luad("check", "--json").json if each["code"] == "LU315"]
    assert found["message"] == "`ls` is not found on the run's PATH (/nowhere)"
