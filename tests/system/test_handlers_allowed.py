"""No token becomes a shell: not by an import, not by another name, not by metadata, not after a restart."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.forked_daemon import ForkedDaemon

HANDLERS = """
import functools
from luad.handlers import shell
from luad.handlers.shell import run

through = shell.run
partly = functools.partial(shell.run)

def own(job):
    print("own", job.metadata.get("command"))
"""
JOB = """
name: {name}
handler: h:{function}
schedule: {{type: interval, seconds: 3600}}
metadata: {{command: "true"}}
"""
EVERY = {"schedule": {"type": "interval", "seconds": 3600}}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    live = ForkedDaemon(tmp_path_factory.mktemp("allowed"), "--listen", f"127.0.0.1:{port}")
    live.write_handler("h", HANDLERS)
    live.write_handler("json", "def dumps(job): ...\n")
    for name in ("run", "through", "partly", "own"):
        live.write_job(name, JOB.format(name=name, function=name))
    with live:
        tokens = {
            role: live.json("token", "create", role, "--role", role)["token"]
            for role in ("operator", "admin")
        }

        def ask(method: str, path: str, role: str, body: Any) -> Any:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            headers = {
                "Authorization": f"Bearer {tokens[role]}",
                "Content-Type": "application/json",
            }
            connection.request(method, path, json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
            connection.close()
            return response.status, json.loads(content or b"null")

        ask.live = live  # type: ignore[attr-defined] # the daemon behind it
        ask.mark = live.state.parent / "mark"  # type: ignore[attr-defined]
        yield ask


def command(door: Any) -> dict[str, str]:
    return {"command": f"touch {door.mark}"}


def ended(door: Any, name: str, *more: str) -> str:
    result = door.live.luad("run", name, "--wait", *more, check=False)
    return str(result.stdout + result.stderr)


@pytest.mark.parametrize(
    "handler", ["h:run", "h:shell", "h:functools", "json:dumps", "os:system", "h:nope"]
)
def test_a_token_names_no_handler_that_the_module_does_not_define(door: Any, handler: str) -> None:
    status, answer = door("POST", "/v1/jobs", "admin", {"name": "new", "handler": handler, **EVERY})
    assert status in {403, 422}, answer
    assert answer["code"] in {"handler_not_allowed", "validation"}


def test_an_operator_says_nothing_to_an_imported_shell(door: Any) -> None:
    for method, path, body in (
        ("PATCH", "/v1/jobs/run/metadata", command(door)),
        ("PUT", "/v1/jobs/run/metadata", command(door)),
        ("POST", "/v1/jobs/run/trigger", {"metadata": command(door)}),
    ):
        status, answer = door(method, path, "operator", body)
        assert (status, answer["code"]) == (403, "handler_not_allowed")
        assert "imports `run`" in answer["detail"]
    assert "succeeded" in ended(door, "run")  # what the file says goes on


@pytest.mark.parametrize("name", ["through", "partly"])
def test_a_shell_under_another_name_does_not_run_what_a_token_says(door: Any, name: str) -> None:
    path = f"/v1/jobs/{name}"
    assert "succeeded" in ended(door, name)
    assert door("POST", f"{path}/trigger", "operator", {"metadata": command(door)})[0] == 202
    line = door.live.wait_for("run.ended", job=name, status="failed")
    assert "leads to `luad.handlers.shell:run`" in line["error"]
    assert "succeeded" in ended(door, name)
    assert door("PATCH", f"{path}/metadata", "operator", command(door))[0] == 200
    assert "leads to `luad.handlers.shell:run`" in ended(door, name)
    assert not door.mark.exists()
    # The machine's own user may write the same key: then it is that user's word.
    door.live.luad("metadata", name, "command=date")
    assert "succeeded" in ended(door, name)


def test_a_job_made_by_a_token_runs_no_shell_under_another_name(door: Any) -> None:
    body = {"name": "made", "handler": "h:through", "metadata": command(door), **EVERY}
    assert door("POST", "/v1/jobs", "admin", body)[0] == 201
    assert "leads to `luad.handlers.shell:run`" in ended(door, "made")
    assert not door.mark.exists()
    body = {"name": "fine", "handler": "h:own", "metadata": command(door), **EVERY}
    assert door("POST", "/v1/jobs", "admin", body)[0] == 201
    assert "succeeded" in ended(door, "fine")


def test_a_handler_that_turns_into_an_import_is_not_called_any_more(door: Any) -> None:
    door.live.write_handler("turned", "def run(job): ...\n")
    body = {"name": "turned", "handler": "turned:run", "metadata": command(door), **EVERY}
    assert door("POST", "/v1/jobs", "admin", body)[0] == 201
    assert "succeeded" in ended(door, "turned")
    door.live.write_handler("turned", "from luad.handlers.shell import run\n")
    refused = door.live.luad("run", "turned", check=False)
    assert "imports `run`" in refused.stdout + refused.stderr
    assert not door.mark.exists()


def test_stored_jobs_that_are_refused_now_are_paused_and_come_back(tmp_path: Path) -> None:
    daemon = ForkedDaemon(tmp_path)
    daemon.write_handler("h", "def run(job): ...\n")
    daemon.write_job("tick", JOB.format(name="tick", function="run"))
    with daemon:
        daemon.luad("create", "made", "--handler", "h:run", "--every", "1s")
        daemon.wait_for("run.ended", job="made")
        before = daemon.json("show", "made")
    daemon.write_handler("h", "from luad.handlers.shell import run\n")
    daemon.lines.clear()
    with daemon:
        refusals = [each["error"] for each in daemon.lines if each["event"] == "job.refused"]
        assert ["imports `run`" in each for each in refusals] == [True]
        shown = daemon.json("show", "made")
        assert (shown["id"], shown["status"]) == (before["id"], "paused")
        assert "not allowed" in shown["pause"]["reason"]
        for words in (("resume", "made"), ("run", "made")):
            told = daemon.luad(*words, check=False)
            assert told.returncode != 0
            assert "imports `run`" in told.stdout + told.stderr
        assert not [
            each
            for each in daemon.lines
            if each["event"] == "run.started" and each["job"] == "made"
        ]
    daemon.write_handler("h", "def run(job): ...\n")
    daemon.lines.clear()
    with daemon:
        daemon.wait_for("run.ended", job="made", status="succeeded")
        assert daemon.json("show", "made")["id"] == before["id"]
