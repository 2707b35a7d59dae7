"""Making: init, new, schema, completion, doctor."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from luad import __version__
from luad.cli.commands.doctor import LIBRARIES
from luad.cli.commands.version import DEPENDENCIES


@pytest.mark.slow
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
    assert "has all the files already" in luad("init").err


@pytest.mark.parametrize("outer", ["luad.yaml", "jobs.d"])
def test_init_in_a_project_says_that_it_makes_another(
    luad: Any, tmp_path: Path, outer: str
) -> None:
    place = tmp_path / outer
    place.touch() if place.suffix else place.mkdir()
    first = luad("init", "shop")
    assert first.code == 0
    assert f"note: this folder is inside the project {tmp_path}" in first.err
    assert "note:" not in luad("init", "shop").err, "it was there already"
    assert luad("init", "shop", "--json").json["inside"] == str(tmp_path)


def test_init_outside_of_projects_has_no_note(luad: Any, tmp_path: Path) -> None:
    assert "note:" not in luad("init", "shop").err
    assert luad("init", str(tmp_path / "other"), "--json").json["inside"] is None


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


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--handler", "foo.bar"], 1, "LU304 no installed package has an entry point `foo.bar`"),
        (["--user", "ann"], 0, "a user that does not exist"),
        (["--handler", "luad.handlers.shell:run"], 1, "LU110"),
        (["--cron", "0 9 * * *"], 0, "test it:"),
    ],
)
def test_new_tells_what_is_wrong_with_the_file(
    luad: Any, tmp_path: Path, args: list[str], code: int, said: str
) -> None:
    result = luad("new", "x", *args)
    assert result.code == code, result
    assert said in result.err
    assert (tmp_path / "jobs.d/x.yaml").is_file()


def test_new_does_not_shadow_the_standard_library(luad: Any) -> None:
    assert "handler: job_json:run" in luad("new", "json", "--stdout").out


def test_new_says_from_when_an_interval_counts(luad: Any) -> None:
    assert (
        "every 5m, counted from the moment when luad serve loads"
        in luad("new", "tick", "--every", "5m").err
    )


def test_new_to_stdout_writes_nothing(luad: Any, tmp_path: Path) -> None:
    result = luad("new", "later", "--at", "2030-01-02T03:04", "--tz", "Asia/Tokyo", "--stdout")
    assert 'execute_at: "2030-01-01T18:04:00Z"' in result.out
    assert not (tmp_path / "jobs.d").exists()


def test_schema_is_printed_and_written(luad: Any, tmp_path: Path) -> None:
    assert json.loads(luad("schema").out)["$schema"].endswith("2020-12/schema")
    assert json.loads(luad("schema", "luad").out)["type"] == "object"
    assert luad("schema", "--write", ".luad").code == 0
    assert (tmp_path / ".luad/job.schema.json").read_text() == luad("schema", "job").out
    assert (tmp_path / ".luad/users.schema.json").read_text() == luad("schema", "users").out


def test_schema_tells_what_a_key_means(luad: Any) -> None:
    lines = luad("schema", "job", "retry.max_attempts").lines
    assert lines[0] == "retry.max_attempts   integer"
    assert "three retries are `max_attempts: 4`" in lines[1]
    assert "at least 1, at most 100" in lines[2]
    assert re.search(r"keys +max_attempts +The number", luad("schema", "job", "retry").out)
    for key in ("expression", "every", "execute_at"):
        assert key in luad("schema", "job", "schedule").out
    assert "IANA" in luad("schema", "job", "schedule.timezone").out
    assert "webhook" in luad("schema", "users", "channels.type").out
    assert luad("schema", "luad", "dynamic.handlers").code == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["job", "timout"], "did you mean `timeout`?"),
        (["job", "retry.attempts"], "the key `attempts` does not exist in `retry`"),
        (["job", "handler.x"], "`handler` has no keys"),
        (["users", "zzz"], "it has: "),
    ],
)
def test_schema_of_a_key_that_is_not_there(luad: Any, args: list[str], said: str) -> None:
    result = luad("schema", *args)
    assert result.code == 3
    assert said in result.err


def test_every_key_of_every_schema_can_be_explained() -> None:
    from luad.cli.terminal.key_docs import _members, describe_key
    from luad.config.schema.validator import load_schema

    for name in ("job", "luad", "users"):
        root = load_schema(name)
        for key, member in _members(root, root).items():
            assert len(describe_key(root, key)) > 1, key
            for inner in _members(root, member):
                assert len(describe_key(root, f"{key}.{inner}")) > 1, (key, inner)


def test_openapi_needs_no_daemon(luad: Any) -> None:
    document = luad("openapi").json
    assert document["openapi"].startswith("3.1")
    assert "/v1/jobs" in document["paths"]


def test_init_writes_a_user_service(luad: Any, tmp_path: Path) -> None:
    result = luad("init", "my 100%", "--systemd")
    unit = (tmp_path / "my 100%/luad.service").read_text()
    lines = [line for line in unit.splitlines() if "=" in line]
    assert f"WorkingDirectory={tmp_path}/my 100%%" in lines
    assert f'ExecStart="{sys.executable}" -m luad serve' in lines
    assert {"Type=notify", "RestartPreventExitStatus=78", "KillMode=mixed"} <= set(lines)
    assert {"Restart=always", "StartLimitIntervalSec=0"} <= set(lines)
    assert f"systemctl --user enable '{tmp_path}/my 100%/luad.service'" in result.err


def test_init_writes_a_user_whose_file_is_right(luad: Any, tmp_path: Path) -> None:
    assert luad("init").code == 0
    assert "id: me" in (tmp_path / "users.d/me.yaml").read_text()
    assert luad("check", "users.d", "--strict").code == 0
    assert luad("new", "daily", "--user", "me").code == 0
    assert 'user: "me"' in (tmp_path / "jobs.d/daily.yaml").read_text()
    assert luad("check", "--strict").code == 0


def test_check_covers_users_files(luad: Any, tmp_path: Path) -> None:
    assert luad("init", "--no-example").code == 0
    (tmp_path / "users.d").mkdir()
    (tmp_path / "users.d/ann.yaml").write_text("id: ann\nchannels: [inbx]\n")
    (tmp_path / "jobs.d/x.yaml").write_text(
        "name: x\nhandler: a:b\nuser: anna\nschedule: {type: interval, every: 1h}\n"
    )
    for paths in ([], ["users.d"], ["users.d/ann.yaml"]):
        result = luad("check", "--no-import", "--format", "concise", *paths)
        assert result.code == 1
        assert "users.d/ann.yaml:2:" in result.out
    (tmp_path / "users.d/ann.yaml").write_text("id: ann\n")
    result = luad("check", "--no-import", "--format", "concise")
    assert (result.code, "LU404" in result.out) == (0, True)
    (tmp_path / "luad.yaml").write_text("users: [people]\n")
    (tmp_path / "people").mkdir()
    (tmp_path / "people/bob.yaml").write_text("id: bob\nchanels: []\n")
    assert "people/bob.yaml:2:" in luad("check", "people", "--format", "concise").out


def test_check_refuses_users_files_that_others_may_write(luad: Any, tmp_path: Path) -> None:
    assert luad("init").code == 0
    (tmp_path / "users.d/me.yaml").chmod(0o666)
    result = luad("check", "--format", "concise")
    assert result.code == 1
    assert re.search(r"users.d/me.yaml:.* LU03", result.out)
    assert luad("check", "users.d/me.yaml").code == 1


@pytest.mark.slow
def test_doctor_looks_at_people_and_the_port(
    luad: Any, tmp_path: Path, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUAD_SOCKET", str(tmp_path / "nobody.sock"))
    assert luad("init").code == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "luad.yaml").write_text(f"listen: 127.0.0.1:{port}\n")
        assert f"✗ fail  listen       cannot listen on 127.0.0.1:{port}" in luad("doctor").out
        peer.answers["GET /status"] = {"status": "ok", "version": __version__, "pid": 1}
        monkeypatch.setenv("LUAD_SOCKET", str(peer.socket))
        assert f"· note  listen       127.0.0.1:{port} is in use" in luad("doctor").out
    assert f"✓ ok    listen       127.0.0.1:{port} is free" in luad("doctor").out
    assert "✓ ok    channels     2 channels" in luad("doctor").out
    (tmp_path / "users.d/ann.yaml").write_text("id: ann\nchannels: 7\n")
    result = luad("doctor")
    assert result.code == 1
    assert "✗ fail  users files" in result.out
    assert "✓ ok    job files" in result.out


def complete(words: str, **environ: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-m", "luad"],
        env={**os.environ, "_LUAD_COMPLETE": "bash_complete", "COMP_WORDS": words,
             "COMP_CWORD": str(len(words.split(" ")) - 1), **environ},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stderr == ""
    return [line.partition(",")[2] for line in result.stdout.splitlines()]


@pytest.mark.slow
def test_completion_of_commands_jobs_and_runs(peer: Any, tmp_path: Path) -> None:
    peer.answers["GET /jobs"] = {"jobs": [{"name": "billing"}, {"name": "nightly"}]}
    peer.answers["GET /runs"] = {"runs": [{"id": "run_01"}]}
    assert complete("luad hist") == ["history"]
    assert complete("luad run ni") == ["nightly"]
    assert complete("luad show ") == ["billing", "nightly", "@last", "@last-failed", "run_01"]
    assert complete("luad cancel @last-") == ["@last-failed"]
    assert peer.asked[0].query["include_dynamic"] == "1"
    peer.answers["GET /users"] = {"users": [{"id": "ann"}, {"id": "bob"}]}
    assert complete("luad remind b") == ["bob"]
    assert complete("luad users show a") == ["ann"]
    assert complete("luad create --user ") == ["ann", "bob"]
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "jobs.d" / "from-file.yaml").touch()
    assert complete("luad run ", LUAD_SOCKET="/nowhere/luad.sock") == ["from-file"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_luad(luad: Any, shell: str) -> None:
    assert "_LUAD_COMPLETE=" + shell in luad("completion", shell).out


@pytest.mark.slow
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
