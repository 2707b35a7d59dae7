"""`luad doctor` looks at the daemon that it found, not at the folder it stands in."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from luad import __version__

JOB = "name: {0}\nhandler: {0}:run\nschedule: {{type: interval, every: 1h}}\n"


@pytest.fixture
def theirs(tmp_path: Path, peer: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of the daemon that answers; the working folder is another one, and broken."""
    folder = tmp_path / "theirs"
    for name in ("jobs.d", "handlers", "people", "state"):
        (folder / name).mkdir(parents=True)
    for name in ("one", "two"):
        (folder / "jobs.d" / f"{name}.yaml").write_text(JOB.format(name))
        (folder / "handlers" / f"{name}.py").write_text("def run(job): ...\n")
    (folder / "people" / "ann.yaml").write_text("id: ann\nchannels: [inbox]\n")
    (folder / "luad.yaml").write_text("users: [people]\nstate_dir: state\n")
    here = tmp_path / "here"
    for name in ("jobs.d", "users.d"):
        (here / name).mkdir(parents=True)
        (here / name / "bad.yaml").write_text("nonsense: 1\n")
    (here / "luad.yaml").write_text("state_dir: /proc/none\nlisten: 127.0.0.1:1\n")
    monkeypatch.chdir(here)
    peer.answers["GET /status"] = {
        "status": "ok",
        "version": __version__,
        "pid": 7,
        "uid": os.geteuid(),
        "jobs_dirs": [str(folder / "jobs.d")],
        "users_dirs": [str(folder / "people")],
        "handlers_path": str(folder / "handlers"),
        "state_dir": str(folder / "state"),
        "settings_file": str(folder / "luad.yaml"),
        "timezone": "UTC",
        "machine_timezone": "Asia/Tokyo",
        "store": {"path": str(folder / "state" / "luad.db"), "writable": True},
        "listen": None,
        "socket": str(peer.socket),
        "problems": [],
    }
    return folder


def lines(luad: Callable[..., Any], *args: object) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in luad("doctor", "--json", *args).json["checks"]}


@pytest.mark.slow
def test_it_looks_at_files_state_and_users_of_the_daemon(luad: Any, theirs: Path) -> None:
    done = luad("doctor")
    assert done.code == 0, done.out
    found = lines(luad)
    assert found["settings"]["detail"] == f"{theirs}/luad.yaml, of the daemon (pid 7)"
    assert found["state"]["detail"].startswith(f"{theirs}/state is written by the daemon")
    assert found["job files"]["detail"] == "4 files, no problems"
    assert found["channels"]["detail"] == "1 channel"
    assert found["time zone"] == {
        "name": "time zone",
        "ok": None,
        "detail": "schedules without a zone use UTC; the machine's zone is Asia/Tokyo",
        "fix": None,
    }
    assert "here" not in done.out.replace("none here", "")


@pytest.mark.parametrize(
    ("spoil", "name", "said"),
    [
        ("jobs.d/one.yaml", "job files", "theirs/jobs.d/one.yaml"),
        ("people/ann.yaml", "users files", "theirs/people/ann.yaml"),
        ("luad.yaml", "settings", "theirs/luad.yaml"),
    ],
)
@pytest.mark.slow
def test_it_tells_what_is_wrong_with_the_files_of_the_daemon(
    luad: Any, theirs: Path, spoil: str, name: str, said: str
) -> None:
    (theirs / spoil).write_text("nonsense: 1\n")
    found = lines(luad)[name]
    assert found["ok"] is False
    assert said in found["detail"]


def test_it_imports_the_handlers_of_the_daemon(luad: Any, theirs: Path) -> None:
    (theirs / "handlers" / "two.py").write_text("")
    assert "`two` has no function `run`" in lines(luad)["handlers"]["detail"]


def test_a_store_that_the_daemon_cannot_write_fails(luad: Any, theirs: Path, peer: Any) -> None:
    peer.answers["GET /status"]["store"]["writable"] = False
    assert lines(luad)["state"]["detail"] == f"the daemon cannot write {theirs}/state"


def test_an_older_luad_tells_less_and_is_looked_at_all_the_same(
    luad: Any, theirs: Path, peer: Any
) -> None:
    status = peer.answers["GET /status"]
    for key in ("uid", "users_dirs", "handlers_path", "settings_file", "timezone", "state_dir"):
        del status[key]
    found = lines(luad)
    assert found["settings"]["detail"].startswith(f"{theirs}/luad.yaml")
    assert found["state"]["detail"].startswith(f"{theirs}/state")
    assert found["job files"]["ok"] is True
    assert found["channels"]["detail"] == "1 channel"


def test_the_files_of_a_daemon_of_another_user_are_not_judged_by_their_owner(
    luad: Any, theirs: Path, peer: Any
) -> None:
    peer.answers["GET /status"] |= {
        "uid": 65_534,
        "problems": [
            {"code": "LU032", "filename": "x.yaml", "message": "is open", "help": "chmod it"}
        ],
    }
    found = lines(luad)
    assert found["handlers"]["detail"] == "not imported: the daemon runs as another user"
    assert found["handlers"]["fix"].startswith("sudo -u ")
    assert "permissions" not in found
    assert found["places"]["detail"] == "the daemon does not trust: x.yaml: is open"
    assert found["job files"]["detail"] == "4 files, no problems", theirs


def test_the_files_of_a_daemon_behind_a_url_are_not_looked_for_here(
    luad: Any, theirs: Path, peer: Any
) -> None:
    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(peer.answers["GET /status"]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Forward) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            found = lines(luad, "--url", f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
    assert "a URL names the daemon" in found["files"]["detail"]
    assert not {"settings", "state", "job files", "listen"} & found.keys(), theirs
