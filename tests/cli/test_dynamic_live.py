"""Dynamic jobs and people by the command line, with a real daemon at the other end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

pytestmark = pytest.mark.slow
HANDLERS = """\
from luad.sync import Jobs

def work(job):
    return job.metadata

def spawn(job):
    return Jobs.create(handler="app:work", name="child", in_="1h").name
"""
STATIC = """\
name: static
handler: app:work
schedule: {type: interval, every: 1h}
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("live")
    (folder / "users.d").mkdir()
    (folder / "users.d/ann.yaml").write_text("id: ann\nfull_name: Ann\nchannels: [inbox, log]\n")
    daemon = ForkedDaemon(folder, "--users", str(folder / "users.d"))
    daemon.write_handler("app", HANDLERS)
    daemon.write_job("static", STATIC)
    with daemon:
        yield daemon


def test_a_job_is_made_shown_exported_and_made_again(live: LiveDaemon) -> None:
    made = live.luad(
        "create", "report", "--handler", "app:work", "--cron", "0 9 * * MON", "--timezone",
        "Europe/London", "--user", "ann", "-m", "n=1", "-m", "t=010", "--max-attempts", "3",
        "--backoff", "90s", "-t", "crm",
    )  # fmt: skip
    assert made.stdout.startswith("Created report (job_")
    assert "): runs at 09:00 on Mondays, next on Mon " in made.stdout
    assert made.stdout.endswith(", for ann.\n")
    shown = live.luad("show", "report").stdout
    assert "ann   by inbox, log" in shown
    text = live.luad("show", "report", "--yaml").stdout
    refused = live.luad("delete", "report", check=False)
    assert (refused.returncode, "use --yes" in refused.stderr) == (2, True)
    live.luad("delete", "report", "--yes")
    path = live.folder / "report.yaml"
    path.write_text(text)
    assert live.luad("check", "--no-import", str(path)).returncode == 0
    assert live.luad("create", "--from", str(path)).stderr.endswith("\nCreated 1 job: report\n")
    assert live.luad("show", "report", "--yaml").stdout == text
    taken = live.luad("create", "--from", str(path), check=False)
    assert (taken.returncode, "name_taken" in taken.stderr) == (8, True)
    assert (
        "1 existed already"
        in live.luad("create", "--from", str(path), "--if-exists", "keep").stderr
    )
    live.luad("metadata", "report", 'n={"deep": true}')
    assert "deep: true" in live.luad("show", "report", "--yaml").stdout
    live.luad("delete", "report", "--yes")


def test_a_time_without_a_zone_comes_back_with_one(live: LiveDaemon) -> None:
    args = ("create", "tea", "--handler", "app:work", "--at", "2030-06-01T16:00")
    assert "on Sat 1 Jun 2030 16:00 BST" in live.luad(*args, "--timezone", "Europe/London").stdout
    live.luad("delete", "tea", "--yes")


def test_the_same_key_makes_one_job(live: LiveDaemon) -> None:
    args = ("create", "--handler", "app:work", "--in", "1h", "--idempotency-key", "one")
    first, second = live.json(*args), live.json(*args)
    assert first["id"] == second["id"]
    live.luad("delete", first["id"], "--yes")


def test_what_a_file_owns_stays(live: LiveDaemon) -> None:
    refused = live.luad("delete", "static", "--yes", check=False)
    assert refused.returncode == 8
    assert "luad pause static" in refused.stderr
    refused = live.luad("users", "remove", "ann", "--yes", check=False)
    assert refused.returncode == 8


def test_mistakes_in_a_job_are_those_of_a_job_file(live: LiveDaemon) -> None:
    args = ("create", "x", "--handler", "app:work", "--cron", "0 25 * * *")
    bad = live.luad(*args, check=False)
    assert bad.returncode == 2
    assert "hour 25 is out of range" in bad.stderr
    assert "schedule.expression" in bad.stderr
    anna = live.luad("remind", "anna", "x", "--in", "1h", check=False)
    assert (anna.returncode, "did you mean `ann`?" in anna.stderr) == (2, True)
    shell = live.luad(
        "create", "--handler", "luad.handlers.shell:run", "--in", "1h", check=False
    )  # fmt: skip
    assert shell.returncode == 10


def test_a_reminder_arrives_and_leaves_the_list(live: LiveDaemon) -> None:
    made = live.json("remind", "ann", "stand-up", "--in", "1s", "--title", "Now")
    live.wait_for("run.ended", job=made["name"])
    (run,) = live.json("history", made["name"], "--user", "ann", "--delivery", "ok")["runs"]
    assert run["sent"] == {"delivered": 2, "total": 2}
    assert "2/2" in live.luad("history", made["name"]).stdout
    assert "ann by inbox: delivered" in live.luad("show", run["id"]).stdout
    inbox = live.luad("users", "inbox", "ann").stdout
    assert "  Now\n  stand-up\n" in inbox
    assert made["name"] not in live.luad("list", "-a").stdout


def test_a_run_tells_which_jobs_it_made(live: LiveDaemon) -> None:
    live.luad("create", "spawner", "--handler", "app:spawn", "--every", "1h")
    live.luad("run", "spawner", "--wait")
    (run,) = live.json("history", "spawner")["runs"]
    assert run["status"] == "succeeded", run
    assert "child" in live.luad("show", run["id"]).stdout
    assert f"in {run['id']}" in live.luad("show", "child").stdout
    assert "2 dynamic jobs hidden (-a)" in live.luad("list").stderr
    live.luad("delete", "spawner", "child", "--yes")


def test_messages_people_and_tokens(live: LiveDaemon) -> None:
    sent = live.luad("send", "ann", "hello", "--require", "all")
    assert [line.split()[:3] for line in sent.stdout.splitlines()] == [
        ["✓", "inbox", "delivered"], ["✓", "log", "delivered"],
    ]  # fmt: skip
    live.luad("users", "add", "bob", "--dynamic", "--name", "Bob")
    assert "added at run time" in live.luad("users").stdout
    assert live.luad("users", "test", "bob").returncode == 0
    live.luad("users", "remove", "bob", "--yes")
    secret = live.luad("token", "create", "ci", "--expires", "1d").stdout.strip()
    assert secret.startswith("luad_")
    assert secret not in live.luad("token").stdout
    live.luad("token", "revoke", "ci", "--yes")


def test_a_thousand_jobs_from_one_file(live: LiveDaemon) -> None:
    jobs = [
        {"name": f"m-{n}", "handler": "app:work", "in": "2h", "tags": ["many"]} for n in range(1000)
    ]
    path = live.folder / "many.json"
    path.write_text(json.dumps(jobs))
    assert live.luad("create", "--from", str(path)).stderr.endswith("\nCreated 1000 jobs\n")
    assert "1000 dynamic jobs hidden" in live.luad("list").stderr


def test_a_job_is_changed_with_options_and_put_off(live: LiveDaemon) -> None:
    live.luad("create", "edited", "--handler", "app:work", "--in", "1h", "--timeout", "5m")
    changed = live.luad(
        "edit", "edited", "--at", "2099-01-02 9am", "--timezone", "Asia/Tokyo", "-t", "x"
    )
    assert changed.stdout.startswith("Changed edited: runs once on Fri 2 Jan 2099 09:00 JST, in ")
    put_off = live.luad("snooze", "edited", "2 hours")
    assert put_off.stdout.startswith("Snoozed edited: runs once on ")
    assert " JST, in 2 hours" in put_off.stdout
    assert " 09:00 JST" in live.luad("snooze", "edited", "tomorrow 09:00").stdout
    paused = live.luad("snooze", "static", "1h")
    assert paused.stdout.startswith("Snoozed static: paused until ")
    live.luad("resume", "static")
    refused = live.luad("edit", "static", "--every", "2h", check=False)
    assert (refused.returncode, "edit the file" in refused.stderr) == (8, True)
    assert live.luad("snooze", "edited", "03/04", check=False).returncode == 2


def test_a_job_is_changed_in_an_editor(
    live: LiveDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(script: str) -> Any:
        editor = tmp_path / "editor.sh"
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(0o755)
        monkeypatch.setitem(live.env, "VISUAL", str(editor))
        return live.luad("edit", "written", check=False)

    live.luad(
        "create",
        "written",
        "--handler",
        "app:work",
        "--every",
        "1h",
        "-m",
        "n=1",
        "--timeout",
        "5m",
    )
    assert edit("true").stderr.strip().endswith("written is unchanged")
    changed = edit("sed -i 's/every: .1h./every: 3h/; s/n: 1/n: 2/; /^timeout/d' \"$1\"")
    assert changed.stdout.startswith("Changed written: runs every 3 hours, next on "), (
        changed.stderr
    )
    shown = json.loads(live.luad("show", "written", "--json").stdout)
    assert (shown["metadata"], "timeout" in shown["definition"]) == ({"n": 2}, False)
    failed = edit("exit 3")
    assert "the editor ended with 3" in failed.stderr
    refused = edit("sed -i 's/every: .3h./every: 0s/' \"$1\"")
    assert refused.returncode != 0
    (path,) = [Path(each) for each in refused.stderr.split() if each.endswith("written.yaml")]
    assert "every: 0s" in path.read_text()
    assert edit("sed -i 's/name: written/name: other/' \"$1\"").returncode == 2


def test_a_reminder_that_recurs_is_meant_in_the_zone_of_its_user(live: LiveDaemon) -> None:
    (live.folder / "users.d/zoe.yaml").write_text(
        "id: zoe\nfull_name: Zoe\ntimezone: Europe/Riga\nchannels: [inbox]\n"
    )
    live.luad("reload")
    made = live.luad("remind", "zoe", "stand-up", "--cron", "0 9 * * MON-FRI")
    assert "09:00 EE" in made.stdout
    assert "09:00 EE" in live.luad("remind", "zoe", "tea", "--at", "tomorrow 09:00").stdout
