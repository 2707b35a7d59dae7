"""Commands that need files alone: check, test, and list and next without a daemon; serve's refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

GOOD = """\
name: good
handler: app:work
schedule: {type: cron, expression: "0 9 * * *", timezone: Asia/Tokyo}
metadata: {who: ann}
"""
BROKEN = """\
name: broken
handler: app:work
timout: 600
schedule:
  type: cron
  expression: */15 * * * *
"""
HANDLERS = """\
import asyncio, logging, os, sys, time

def work(job):
    logging.getLogger("app").info("hello %s", job.metadata["who"])
    print("printed")
    os.system("echo from a child")
    return {"who": job.metadata, "attempt": job.attempt, "at": job.scheduled_for.isoformat()}

def fail(job):
    raise ValueError("no way")

def leave(job):
    sys.exit(3)

def sleep(job):
    time.sleep(60)

async def sleep_async(job):
    await asyncio.sleep(60)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "handlers").mkdir()
    (tmp_path / "jobs.d/good.yaml").write_text(GOOD)
    (tmp_path / "handlers/app.py").write_text(HANDLERS)
    return tmp_path


# --- check ---


@pytest.mark.slow
def test_check_is_quiet_when_all_is_well(luad: Any, shop: Path) -> None:
    del shop
    result = luad("check", "--strict")
    assert (result.code, result.out) == (0, "")
    assert result.err == "Checked 1 file: 1 ok, no problems.\n"
    assert luad("check", "-q").err == ""
    assert luad("check", "--json").json == []


@pytest.mark.slow
def test_check_shows_the_place_and_what_to_write(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/broken.yaml").write_text(BROKEN)
    result = luad("check")
    assert result.code == 1
    assert "LU102 unknown key `timout`\n --> jobs.d/broken.yaml:3:1\n" in result.out
    assert "= help: did you mean `timeout`?" in result.out
    assert "Checked 2 files: 1 ok, 2 errors, 0 warnings in 1 file.  2 fixable" in result.err


@pytest.mark.slow
def test_check_finds_what_no_run_could_import(luad: Any, shop: Path) -> None:
    (shop / "handlers/torn.py").write_text("def run(:\n")
    (shop / "handlers/poor.py").write_text("\nimport no_such_package\n")
    (shop / "handlers/mean.py").write_text("import os\nos._exit(0)\n")
    handlers = {"a": "app:wrk", "b": "ap:work", "c": "torn:run", "d": "poor:run", "e": "mean:run"}
    for name, handler in handlers.items():
        (shop / f"jobs.d/{name}.yaml").write_text(
            f"name: {name}\nhandler: {handler}\nschedule: {{type: interval, every: 1h}}\n"
        )
    result = luad("check", "--json")
    assert result.code == 1
    found = {
        each["job"]: (each["code"], each["location"]["row"], each["location"]["column"])
        for each in result.json
    }
    assert found == {
        "a": ("LU301", 2, 14),
        "b": ("LU304", 2, 10),
        "c": ("LU302", 2, 10),
        "d": ("LU302", 2, 10),
        "e": ("LU302", 2, 10),
    }
    help_of = {each["job"]: each["help"] for each in result.json}
    assert "did you mean `work`?" in help_of["a"]
    assert "did you mean `app`?" in help_of["b"]
    assert "handlers/torn.py:1" in help_of["c"]
    assert "handlers/poor.py:2" in help_of["d"]
    assert luad("check", "--no-import").code == 0


@pytest.mark.slow
def test_check_json_is_a_list_that_adapters_know(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/broken.yaml").write_text(BROKEN)
    result = luad("check", "--format", "json")
    assert result.err == ""
    first = next(each for each in result.json if each["code"] == "LU102")
    assert first["filename"] == "jobs.d/broken.yaml"
    assert first["location"] == {"row": 3, "column": 1}
    assert first["end_location"] == {"row": 3, "column": 7}
    assert first["message"] == "unknown key `timout`"
    assert first["help"] == "did you mean `timeout`?"
    assert luad("check", "--json").json == result.json


@pytest.mark.slow
def test_check_in_the_other_formats(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/broken.yaml").write_text(BROKEN)
    assert "jobs.d/broken.yaml:3:1: LU102" in luad("check", "--format", "concise").out
    github = luad("check", "--format", "github").lines
    assert github[0].startswith("::error file=jobs.d/broken.yaml,line=3,col=1,title=LU102")
    assert luad("check", "--format", "sarif").json["version"] == "2.1.0"


@pytest.mark.slow
def test_check_selects_and_ignores_by_the_beginning_of_a_code(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/broken.yaml").write_text(BROKEN)

    def codes(*args: str) -> list[str]:
        return [each["code"] for each in luad("check", "--json", *args).json]

    assert codes("--select", "LU1") == ["LU102"]
    assert codes("--ignore", "LU102") == ["LU004"]
    assert luad("check", "--ignore", "LU0,LU1").code == 0
    assert luad("check", "--ignore", "E501").code == 2


@pytest.mark.slow
def test_check_diff_and_fix(luad: Any, shop: Path) -> None:
    path = shop / "jobs.d/broken.yaml"
    path.write_text(BROKEN)
    path.chmod(0o640)
    result = luad("check", "--diff")
    assert result.code == 1
    assert "-timout: 600" in result.lines
    assert '+  expression: "*/15 * * * *"' in result.lines
    assert path.read_text() == BROKEN
    result = luad("check", "--fix")
    assert result.code == 0
    assert path.read_text() == BROKEN.replace("timout", "timeout").replace(
        "*/15 * * * *", '"*/15 * * * *"'
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in path.parent.iterdir()) == ["broken.yaml", "good.yaml"]
    assert luad("check", "--diff").code == 0


@pytest.mark.slow
def test_check_of_named_files_and_settings(luad: Any, shop: Path) -> None:
    (shop / "elsewhere.txt").write_text(BROKEN)
    assert luad("check", "jobs.d/good.yaml").code == 0
    assert luad("check", "elsewhere.txt").code == 1
    (shop / "luad.yaml").write_text("timezon: UTC\n")
    found = luad("check", "--json").json
    assert [(each["filename"], each["code"]) for each in found] == [("luad.yaml", "LU102")]
    assert luad("check", "luad.yaml", "--fix").code == 0
    assert luad("check", "nowhere").code == 2


@pytest.mark.slow
def test_check_of_another_project_takes_its_handlers_and_settings(
    luad: Any, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert luad("check", shop / "jobs.d/good.yaml").code == 0
    assert luad("check", shop / "jobs.d").code == 0
    monkeypatch.chdir(shop / "jobs.d")
    assert luad("check", "good.yaml").code == 0
    assert luad("check", ".").code == 0


def test_check_without_a_project_says_so(luad: Any) -> None:
    result = luad("check")
    assert result.code == 2
    assert "nothing to check: the folder jobs.d does not exist" in result.err


def test_check_refuses_a_file_that_others_may_write(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/good.yaml").chmod(0o666)
    result = luad("check")
    assert result.code == 1
    assert "chmod" in result.out


@pytest.mark.slow
def test_check_watch_looks_again_when_a_file_changes(shop: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "luad", "check", "--watch", "--format", "concise", "--no-import"],
        cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stdout is not None
    assert "no problems" in process.stderr.readline()
    while "waiting for changes" not in process.stderr.readline():
        assert process.poll() is None
    (shop / ".luad").mkdir(exist_ok=True)
    for _ in range(5):  # as a daemon of the project does all the time
        (shop / ".luad/luad.db-wal").write_text("a run")
        time.sleep(0.1)
    (shop / "jobs.d/broken.yaml").write_text(BROKEN)
    assert "broken.yaml:3:1: LU102" in process.stdout.readline()
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert "no problems" not in said, "the state of a daemon is no change"


# --- list and next ---


def test_list_falls_back_to_the_files_and_says_so(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/broken.yaml").write_text(BROKEN)
    result = luad("list")
    assert result.code == 0
    assert "good" in result.lines[1]
    assert "cannot reach luad" in result.err
    assert "this is what jobs.d says" in result.err
    assert "warning: 2 errors in 1 file  (luad check)" in result.err
    assert "cannot reach" not in luad("list", "--offline").err


def test_list_offline_json_has_the_keys_of_the_daemons(luad: Any, shop: Path) -> None:
    del shop
    result = luad("list", "--json", "--offline")
    assert result.err == ""
    assert result.json["hidden_dynamic"] == 0
    assert result.json["next_cursor"] is None
    job = result.json["jobs"][0]
    assert (job["name"], job["status"], job["health"]) == ("good", "active", "never_run")
    assert job["schedule"]["expression"] == "0 9 * * *"
    assert job["file"]["path"] == "jobs.d/good.yaml"
    assert job["next_run_at"].endswith("T00:00:00Z")
    assert job["last_run"] is None


def test_next_from_the_files(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/once.yaml").write_text(
        "name: once\nhandler: app:work\nschedule: {type: once, execute_at: 2031-01-01T00:00:00Z}\n"
    )
    args = ["next", "--offline", "--json", "--from", "2030-12-31T00:00:00Z", "-n", "3"]
    rows = luad(*args).json["next"]
    assert [(row["at"], row["job"]) for row in rows] == [
        ("2031-01-01T00:00:00Z", "good"),
        ("2031-01-01T00:00:00Z", "once"),
        ("2031-01-02T00:00:00Z", "good"),
    ]
    assert rows[1]["note"] == "once"
    assert [row["job"] for row in luad(*args, "onc").json["next"]] == ["once"]
    assert luad(*args, "nope").code == 3


def test_next_from_the_files_names_what_only_the_daemon_knows(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/tick.yaml").write_text(
        "name: tick\nhandler: app:work\nschedule: {type: interval, every: 5m}\n"
    )
    assert "not among them: tick; the first run is counted from" in luad("next", "--offline").err
    assert "tick" not in luad("next", "--offline", "good").err
    listed = {each["name"]: each for each in luad("list", "--json", "--offline").json["jobs"]}
    assert listed["tick"]["summary"] == "Runs every 5 minutes, from when the daemon sees its file."


def test_without_daemon_and_files_it_is_unavailable(luad: Any) -> None:
    for command in ("list", "next"):
        result = luad(command)
        assert result.code == 11
        assert "cannot reach luad" in result.err


# --- test ---


def test_test_runs_the_handler_here_and_shows_what_it_says(luad: Any, shop: Path) -> None:
    del shop
    result = luad("test", "good", "-m", "n=1", "--attempt", "2", "--at", "2026-01-01T00:00Z")
    assert result.code == 0
    assert result.lines[0] == "▶ good   app:work"
    assert any(line.endswith("INFO    app  hello ann") for line in result.lines)
    assert "printed" in result.lines
    assert "✓ completed in" in result.out
    shown = next(line for line in result.lines if line.startswith("  result"))
    assert json.loads(shown.removeprefix("  result")) == {
        "who": {"who": "ann", "n": 1}, "attempt": 2, "at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip


def test_test_json_keeps_stdout_for_the_document(luad: Any, shop: Path) -> None:
    del shop
    result = luad("test", "go", "--json")
    assert result.json["status"] == "completed"
    assert result.json["logs"] == [{"level": "info", "logger": "app", "message": "hello ann"}]
    assert "printed" in result.err
    assert "from a child" in result.err
    assert len(luad("test", "good", "--json", "--repeat", "2").json["runs"]) == 2


@pytest.mark.parametrize(
    ("handler", "code", "status", "says"),
    [
        ("app:fail", 4, "failed", "ValueError: no way"),
        ("app:leave", 4, "failed", "exit code 3"),
        ("app:nope", 4, "failed", "has no function"),
        ("nowhere:run", 4, "failed", "nowhere"),
    ],
)
def test_test_of_a_handler_that_fails(
    luad: Any, shop: Path, handler: str, code: int, status: str, says: str
) -> None:
    del shop
    result = luad("test", handler)
    assert result.code == code
    assert says in result.out
    assert luad("test", handler, "--json").json["status"] == status


@pytest.mark.parametrize("function", ["sleep", "sleep_async"])
def test_test_keeps_the_time_limit(luad: Any, shop: Path, function: str) -> None:
    text = f"name: slow\nhandler: app:{function}\nschedule: {{type: interval, every: 1h}}\ntimeout: 0.2s\n"
    (shop / "slow.yaml").write_text(text)
    result = luad("test", "slow.yaml")
    assert result.code == 7
    assert "✗ timed out after" in result.out


def test_test_of_a_broken_job_shows_its_problems(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/broken.yaml").write_text(BROKEN.replace("*/15 * * * *", '"*/15 * * * *"'))
    result = luad("test", "broken")
    assert result.code == 1
    assert "LU102 unknown key `timout`" in result.err
    assert luad("test", "jobs.d/broken.yaml").code == 1


def test_test_of_a_job_that_is_not_there(luad: Any, shop: Path) -> None:
    del shop
    result = luad("test", "goood")
    assert result.code == 3
    assert "did you mean `good`?" in result.err
    assert luad("test", "nowhere.yaml").code == 3


def test_metadata_from_a_file(luad: Any, shop: Path) -> None:
    (shop / "extra.json").write_text('{"who": "bob"}')
    assert luad("test", "good", "--metadata-file", "extra.json", "--json").json["logs"][0][
        "message"
    ] == ("hello bob")
    (shop / "extra.json").write_text("[]")
    assert luad("test", "good", "--metadata-file", "extra.json").code == 2


# --- serve ---


@pytest.mark.parametrize(
    ("settings", "args", "says"),
    [
        ("timezone: Mars/Olympus\n", [], "LU205"),
        ("", ["--drain", "soon"], "--drain"),
        ("", ["--config", "nowhere.yaml"], "cannot read nowhere.yaml"),
    ],
)
def test_serve_refuses_wrong_settings_for_good(
    luad: Any, shop: Path, settings: str, args: list[str], says: str
) -> None:
    (shop / "luad.yaml").write_text(settings)
    result = luad("serve", *args)
    assert result.code == 78
    assert "error[settings]" in result.err
    assert says in result.err


@pytest.mark.slow
def test_serve_listens_beyond_this_machine_only_behind_tls(luad: Any, shop: Path) -> None:
    # In a process of its own: a daemon changes the signals of its process.
    command = [sys.executable, "-m", "luad", "serve", "--listen", "0.0.0.0:5823"]
    done = subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "0.0.0.0:5823 is beyond this machine" in done.stderr
    assert luad("serve", "--listen", "nonsense").code == 78


PARAMS = """\
import luad

@luad.params({"type": "object", "properties": {"region": {"type": "string"}}, "required": ["region"]})
def go(job): ...
"""


@pytest.mark.slow
def test_check_tells_of_metadata_that_its_handler_does_not_take(luad: Any, shop: Path) -> None:
    (shop / "handlers/regions.py").write_text(PARAMS)
    job = 'name: {}\nhandler: {}\nschedule: {{type: cron, expression: "0 9 * * *"}}\n'
    shell = job.format("a", "luad.handlers.shell:run") + 'metadata: {comand: "true"}\n'
    (shop / "jobs.d/a.yaml").write_text(shell)
    (shop / "jobs.d/b.yaml").write_text(job.format("b", "regions:go") + "metadata: {region: 5}\n")
    (shop / "jobs.d/c.yaml").write_text(job.format("c", "regions:go"))
    done = luad("check", "--format", "concise", "jobs.d")
    assert done.code == 1
    said = done.out
    assert "jobs.d/a.yaml:4:12: LU110 unknown key `comand` in `metadata` (did you mean" in said
    assert "jobs.d/b.yaml:4:20: LU110 `region` in `metadata` must be text, not `5`" in said
    assert "jobs.d/c.yaml:2:10: LU110 missing key `region` in `metadata`" in said


def test_check_imports_the_handlers_of_a_file_whose_other_parts_are_wrong(
    luad: Any, shop: Path
) -> None:
    text = 'name: a\nhandler: no_such_module:go\nschedule: {type: cron, expression: "0 25 * * *"}\n'
    (shop / "jobs.d/a.yaml").write_text(text + "tiemout: 5m\n")
    said = luad("check", "--format", "concise", "jobs.d").out
    assert "a.yaml:2:10: LU304" in said
    assert "a.yaml:3:" in said
    assert "a.yaml:4:1: LU102" in said


def test_next_can_show_one_line_per_job(luad: Any, shop: Path) -> None:
    for name, cron in (("often", "* * * * *"), ("seldom", "0 3 * * *")):
        text = f'name: {name}\nhandler: m:f\nschedule: {{type: cron, expression: "{cron}"}}\n'
        (shop / f"jobs.d/{name}.yaml").write_text(text)
    rows = luad("next", "--offline", "--per-job", "-n", "50", "--json").json["next"]
    names = [row["job"] for row in rows]
    assert len(names) == len(set(names))
    assert {"often", "seldom"} <= set(names)
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    assert luad("next", "--per-job", "--group-by", "job").code == 2
