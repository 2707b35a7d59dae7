"""Log, reload, check and status all say why a job is not in force."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

CLASH = "name: clash\nhandler: app:work\nschedule: {type: interval, every: 1h}\n"
TOLD = "duplicate job name `clash`: the dynamic job "


def codes(answer: Any) -> list[tuple[str, str]]:
    return [(each["code"], each["filename"]) for each in answer["problems"]]


@pytest.fixture
def live(tmp_path: Path) -> LiveDaemon:
    daemon = ForkedDaemon(tmp_path)
    daemon.write_handler("app", "def work(job): ...\n")
    return daemon


def test_a_file_with_the_name_of_a_dynamic_job_is_told_by_everything(live: LiveDaemon) -> None:
    with live:
        live.luad("create", "clash", "--handler", "app:work", "--in", "9h")
        job_id = live.json("show", "clash")["id"]
        live.write_job("clash", CLASH)
        line = live.wait_for("config.problem")
        place = f"{live.jobs}/clash.yaml"
        assert (line["code"], line["place"]) == ("LU402", f"{place}:1:1")
        assert line["message"].startswith(TOLD)
        live.wait_for("job.paused")
        for words in (("reload", "--check-only"), ("reload",)):
            done = live.luad(*words, check=False)
            assert done.returncode == 0
            assert TOLD in done.stderr
            assert f"luad delete {job_id}" in done.stderr
        status = live.luad("status").stdout
        assert TOLD in status
        assert f"luad delete {job_id}" in status
        assert live.json("show", "clash")["source"] == "file"
        waiting = live.json("show", job_id)
        assert waiting["pause"]["reason"] == f"name declared by {place}"
        assert (waiting["status"], waiting["holds_name"]) == ("paused", False)
        assert [each["id"] for each in live.json("list", "-a")["jobs"]].count(job_id) == 1
        live.luad("delete", job_id, "--yes")
        assert live.json("show", "clash")["source"] == "file"
        assert live.luad("reload").stderr.count("LU402") == 0


def test_a_job_whose_only_file_is_broken_is_found_with_its_file(live: LiveDaemon) -> None:
    live.write_job("oops", "name: oops\nhandler: app:work\nschedule: {type: cron}\n")
    with live:
        for command in ("run", "show", "logs", "why"):
            told = live.luad(command, "oops", check=False)
            assert told.returncode == 3
            assert f"hint: {live.jobs}/oops.yaml has an error" in told.stderr, command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timezone: Europe/Berlin\n", "has changed; the settings of the start stay in force"),
        ("max_runing: 4\n", "has changed and has an error"),
        (None, "cannot be read any more"),
    ],
)
def test_a_change_of_the_settings_is_told_by_reload_and_status(
    tmp_path: Path, text: str | None, words: str
) -> None:
    settings = tmp_path / "luad.yaml"
    settings.write_text("timezone: UTC\n")
    settings.chmod(0o644)
    daemon = ForkedDaemon(tmp_path, "--config", str(settings))
    with daemon:
        assert "luad.yaml" not in daemon.luad("reload").stderr
        if text is None:
            settings.unlink()
        else:
            settings.write_text(text)
        told = daemon.luad("reload")
        assert words in told.stderr
        assert "LU514" in told.stderr
        status = daemon.luad("status", check=False)
        assert words in status.stdout
        if text is not None:
            settings.write_text("timezone: UTC\n")
            assert "LU514" not in daemon.luad("reload").stderr


def test_the_dynamic_job_goes_on_when_the_file_is_gone(live: LiveDaemon) -> None:
    with live:
        live.luad("create", "clash", "--handler", "app:work", "--in", "9h")
        before = live.json("show", "clash")
        path = live.write_job("clash", CLASH)
        live.wait_for("job.paused")
        live.kill()
    with live:
        assert live.json("show", "clash")["source"] == "file"
        path.unlink()
        live.luad("reload")
        after = live.json("show", "clash")
        assert (after["id"], after["status"]) == (before["id"], "active")
        assert after["next_run_at"] == before["next_run_at"]


def test_a_row_that_was_tampered_with_is_not_in_force_and_is_told(live: LiveDaemon) -> None:
    with live:
        live.luad("create", "broken", "--handler", "app:work", "--in", "9h")
        live.luad("create", "evil", "--handler", "app:work", "--in", "9h")
        live.kill()
    with closing(sqlite3.connect(live.state / "luad.db")) as database, database:
        change = "update jobs set definition_json = ? where name = ?"
        database.execute(change, ('{"name": "broken", "handler":', "broken"))
        shell = '{"name":"evil","handler":"luad.handlers.shell:run","schedule":%s}'
        database.execute(change, (shell % '{"type":"interval","every":"1s"}', "evil"))
    with live:
        answer = live.json("status")
        assert codes(answer) == [("LU308", "the store"), ("LU307", "the store")]
        assert (answer["status"], answer["jobs"]["total"]) == ("degraded", 1)
        assert answer["jobs"]["paused"] == 1
        assert live.luad("run", "evil", check=False).returncode != 0
        rows = live.rows("select state, reason from runs where job_name = 'evil'")
        assert set(rows) <= {("skipped", "paused")}
        assert live.luad("reload").returncode == 0  # the files are well
        live.luad("delete", "evil", "broken", "--yes")
        assert live.json("status")["problems"] == []
        assert live.rows("select name from jobs") == []
        assert live.luad("delete", "evil", "--yes", check=False).returncode == 3


def test_a_module_and_a_user_that_go_are_told_for_jobs_that_wait(live: LiveDaemon) -> None:
    live.write_handler("later", "def remind(job): ...\n")
    users = live.folder / "users.d"
    users.mkdir()
    (users / "zoe.yaml").write_text("id: zoe\n")
    with live:
        live.luad("create", "call", "--handler", "later:remind", "--user", "zoe", "--in", "9h")
        (users / "zoe.yaml").unlink()
        (live.handlers / "later.py").unlink()
        live.luad("reload")
        told = {}
        while len(told) < 2:
            line = live.wait_for("config.problem")
            told[line["code"]] = line
        assert "a user that does not exist" in told["LU404"]["message"]
        assert "the module `later` is gone; the job `call`" in told["LU512"]["message"]
        assert "the module `later` is gone" in live.luad("status").stdout


def ignored(live: LiveDaemon) -> list[str]:
    """The files that `luad check` says are ignored, in the daemon's own project."""
    options = ("--no-import", "--format", "json", str(live.jobs))
    (live.folder / "luad.yaml").write_text(f"state_dir: {live.state}\n")
    found = json.loads(live.luad("check", *options, check=False).stdout)
    return [Path(each["filename"]).name for each in found if each["code"] == "LU401"]


def test_check_names_the_same_file_as_the_daemon_that_runs_or_will_start(live: LiveDaemon) -> None:
    live.write_job("b", CLASH)
    with live:
        live.write_job("a", CLASH)
        line = live.wait_for("config.problem")
        assert (line["code"], line["place"]) == ("LU401", f"{live.jobs}/a.yaml:1:1")
        assert ignored(live) == ["a.yaml"]
    assert ignored(live) == ["a.yaml"], "the store remembers"
    shutil.rmtree(live.state)
    assert ignored(live) == ["b.yaml"], "a first start takes the first by path"


def test_next_of_a_daemon_shows_one_line_per_job(live: LiveDaemon) -> None:
    for name, every in (("often", "7s"), ("seldom", "9h")):
        text = f"name: {name}\nhandler: app:work\nschedule: {{type: interval, every: {every}}}\n"
        live.write_job(name, text)
    with live:
        for more in ((), ("--from", "1h")):
            found = json.loads(live.luad("next", "--per-job", "--json", *more).stdout)
            assert sorted(row["job"] for row in found["next"]) == ["often", "seldom"]


QUIET = "name: {name}\nschedule: {{type: interval, every: 9h}}\nhandler: {handler}\n"


def test_a_module_that_was_never_there_is_told_as_by_check(live: LiveDaemon) -> None:
    text = "# a note\nname: lost\nschedule: {type: interval, every: 9h}\nhandler: lacking:run\n"
    (live.folder / "jobs.d").mkdir(exist_ok=True)
    (live.folder / "jobs.d/lost.yaml").write_text(text)
    with live:
        line = live.wait_for("config.problem")
        assert line["code"] == "LU304"
        assert "the module `lacking` does not exist; the job `lost`" in line["message"]
        status = live.luad("status").stdout
        assert "LU304" in status
        assert "lost.yaml:4:10" in status


def test_a_function_that_is_missing_is_told_at_load_by_reload_and_by_status(
    live: LiveDaemon,
) -> None:
    live.write_handler("shop", 'def close(job):\n    print("cloze")\n')
    text = "name: evening\nschedule: {type: interval, every: 9h}\nhandler: shop:cloze\n"
    live.write_job("evening", text)
    said = "`shop` has no function `cloze`; the job `evening` cannot run"
    with live:
        live.wait_until_seen("config.problem", code="LU301", message=said)
        status = live.luad("status").stdout
        assert said in status
        assert "evening.yaml:3:10" in status
        live.write_handler("shop", "def close(job): ...\n\ndef count(job): ...\n")
        told = live.luad("reload")
        assert said in told.stderr
        assert "did you mean `close`?" in told.stderr
        live.write_handler("shop", "def close(job): ...\ncloze = close\n")
        assert "LU301" not in live.luad("reload").stderr
        assert "LU301" not in live.luad("status").stdout


def test_a_dry_run_of_a_reload_tells_of_missing_functions(live: LiveDaemon) -> None:
    live.write_handler("shop", "def close(job): ...\n")
    live.write_job("quiet", QUIET.format(name="quiet", handler="shop:close"))
    with live:
        live.write_job("noon", QUIET.format(name="noon", handler="shop:clsoe"))
        told = live.luad("reload", "--check-only").stderr
        assert "`shop` has no function `clsoe`; the job `noon` cannot run" in told
        assert "did you mean `close`?" in told
        live.write_job("noon", QUIET.format(name="noon", handler="shop:close"))
        assert "LU301" not in live.luad("reload", "--check-only").stderr
