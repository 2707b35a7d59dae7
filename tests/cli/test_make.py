"""Making: init, new, schema, completion, doctor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from luad.cli.doctor import LIBRARIES
from luad.cli.more import DEPENDENCIES


def test_init_makes_a_project_that_checks_and_runs(luad: Any, tmp_path: Path) -> None:
    result = luad("init", "shop")
    assert result.code == 0
    for name in ("luad.yaml", "jobs.d/hello.yaml", "handlers/hello.py", ".gitignore",
                 ".luad/job.schema.json"):  # fmt: skip
        assert (tmp_path / "shop" / name).is_file(), name
        assert name in result.err
    first = (tmp_path / "shop/jobs.d/hello.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../.luad/job.schema.json"
    os.chdir(tmp_path / "shop")
    assert luad("check", "--strict").code == 0
    assert luad("test", "hello", "--json").json["status"] == "completed"


def test_init_never_overwrites(luad: Any, tmp_path: Path) -> None:
    (tmp_path / "luad.yaml").write_text("timezone: Asia/Tokyo\n")
    found = luad("init", "--json").json
    assert found["kept"] == ["luad.yaml"]
    assert (tmp_path / "luad.yaml").read_text() == "timezone: Asia/Tokyo\n"
    assert luad("init", "--json").json["created"] == []
    assert "has it all already" in luad("init").err


def test_init_minimal_and_without_example(luad: Any, tmp_path: Path) -> None:
    assert luad("init", "a", "--minimal", "--json").json["created"] == ["luad.yaml"]
    created = luad("init", "b", "--no-example", "--json").json["created"]
    assert ".luad/job.schema.json" in created
    assert not list((tmp_path / "b/jobs.d").iterdir())


def test_new_writes_a_job_and_its_stub(luad: Any, tmp_path: Path) -> None:
    result = luad(
        "new", "daily-sync", "--cron", "0 2 * * *", "--timezone", "Europe/London", "--utc"
    )
    assert result.code == 0
    assert result.err.count("02:00:00 UTC") + result.err.count("01:00:00 UTC") == 3
    assert luad("check", "--strict", "--ignore", "LU501").code == 0
    assert luad("test", "daily-sync", "--json").json["result"] == {"done": True}
    again = luad("new", "daily-sync")
    assert again.code == 8
    assert again.err.startswith("error[file_exists]")
    assert (tmp_path / "jobs.d/daily-sync.yaml").is_file()


def test_new_adds_a_stub_to_a_module_that_is_there(luad: Any, tmp_path: Path) -> None:
    (tmp_path / "handlers").mkdir()
    module = tmp_path / "handlers/app.py"
    module.write_text("def known(job):\n    pass\n")
    assert luad("new", "a", "--handler", "app:known").code == 0
    assert module.read_text() == "def known(job):\n    pass\n"
    assert luad("new", "b", "--handler", "app:fresh").code == 0
    assert "def fresh(job):" in module.read_text()


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["Bad Name"], 2),
        (["x", "--cron", "0 25 * * *"], 2),
        (["x", "--every", "blue"], 2),
        (["x", "--every", "1h", "--at", "09:00"], 2),
        (["x", "--timezone", "Mars/Olympus"], 2),
    ],
)
def test_new_refuses_what_cannot_be(luad: Any, tmp_path: Path, args: list[str], code: int) -> None:
    result = luad("new", *args)
    assert result.code == code
    assert result.err.startswith("error[usage]")
    assert not (tmp_path / "jobs.d").exists()


def test_new_does_not_shadow_the_standard_library(luad: Any) -> None:
    assert "handler: job_json:run" in luad("new", "json", "--stdout").out


def test_new_says_from_when_an_interval_counts(luad: Any) -> None:
    assert "every 5m, counted from when luad serve sees" in luad("new", "tick", "--every", "5m").err


def test_new_to_stdout_writes_nothing(luad: Any, tmp_path: Path) -> None:
    result = luad("new", "later", "--at", "2030-01-02T03:04", "--tz", "Asia/Tokyo", "--stdout")
    assert 'execute_at: "2030-01-01T18:04:00Z"' in result.out
    assert not (tmp_path / "jobs.d").exists()


def test_schema_is_printed_and_written(luad: Any, tmp_path: Path) -> None:
    assert json.loads(luad("schema").out)["$schema"].endswith("2020-12/schema")
    assert json.loads(luad("schema", "luad").out)["type"] == "object"
    assert luad("schema", "--write", ".luad").code == 0
    assert (tmp_path / ".luad/job.schema.json").read_text() == luad("schema", "job").out


def complete(words: str, **environ: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-m", "luad"],
        env={**os.environ, "_LUAD_COMPLETE": "bash_complete", "COMP_WORDS": words,
             "COMP_CWORD": str(len(words.split(" ")) - 1), **environ},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stderr == ""
    return [line.partition(",")[2] for line in result.stdout.splitlines()]


def test_completion_of_commands_jobs_and_runs(peer: Any, tmp_path: Path) -> None:
    peer.answers["GET /jobs"] = {"jobs": [{"name": "billing"}, {"name": "nightly"}]}
    peer.answers["GET /runs"] = {"runs": [{"id": "run_01"}]}
    assert complete("luad hist") == ["history"]
    assert complete("luad run ni") == ["nightly"]
    assert complete("luad show ") == ["billing", "nightly", "@last", "@last-failed", "run_01"]
    assert complete("luad cancel @last-") == ["@last-failed"]
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "jobs.d" / "from-file.yaml").touch()
    assert complete("luad run ", LUAD_SOCKET="/nowhere/luad.sock") == ["from-file"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_luad(luad: Any, shell: str) -> None:
    assert "_LUAD_COMPLETE=" + shell in luad("completion", shell).out


def test_doctor_names_what_fails_and_what_to_do(luad: Any, tmp_path: Path) -> None:
    assert luad("init").code == 0
    found = luad("doctor", "--json")
    assert found.code == 0
    assert found.json["ok"] is True
    daemon = found.json["checks"][-1]
    assert (daemon["name"], daemon["ok"]) == ("daemon", None)
    (tmp_path / ".luad/job.schema.json").write_text("{}")
    (tmp_path / "jobs.d/bad.yaml").write_text("name: bad\n")
    result = luad("doctor")
    assert result.code == 1
    assert "✗ fail  schema copy" in result.out
    assert "fix: luad schema --write .luad" in result.out
    assert "✗ fail  job files" in result.out
    (tmp_path / "luad.yaml").write_text("timezone: Mars/Olympus\n")
    assert "✗ fail  settings" in luad("doctor").out


def test_doctor_and_version_know_what_luad_needs() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    needed = {
        re.split(r"[<>=]", each)[0].lower().replace("-", "_")
        for each in tomllib.loads(text)["project"]["dependencies"]
    }
    assert {{"yaml": "pyyaml"}.get(name, name) for name in LIBRARIES} == needed
    assert {name.lower().replace("-", "_") for name in DEPENDENCIES} == needed


def test_doctor_sees_a_daemon_of_another_version(luad: Any, peer: Any) -> None:
    luad("init")
    peer.answers["GET /status"] = {"status": "ok", "version": "0.0.1", "pid": 1}
    assert "it is luad 0.0.1, this is" in luad("doctor").out
