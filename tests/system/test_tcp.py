"""Requests over TCP that are allowed, for which role, and those that are not."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from time import monotonic  # noqa: TID251 - a test's patience is real time
from typing import Any

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import PATIENCE_S

JOB = "name: tidy\nhandler: h:tick\nschedule: {type: interval, seconds: 3600}\n"
SHELL = """
name: shell
handler: luad.handlers.shell:run
schedule: {type: interval, seconds: 3600}
metadata: {command: "true"}
"""
ALIAS = "name: {name}\nhandler: h:{name}\nschedule: {{type: interval, seconds: 3600}}\n"
HANDLERS = """
from functools import partial
from luad.handlers import files, shell

def tick(job):
    return None

clean = files.prune
sweep = partial(shell.run)
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    live = ForkedDaemon(tmp_path_factory.mktemp("tcp"), "--listen", f"127.0.0.1:{port}")
    live.write_handler("h", HANDLERS)
    old = live.folder / "old"
    old.mkdir()
    live.write_job("clean", ALIAS.format(name="clean") + f'metadata: {{path: "{old}", keep: 1}}\n')
    live.write_job("sweep", ALIAS.format(name="sweep") + 'metadata: {command: "true"}\n')
    live.write_job("tidy", JOB)
    live.write_job("shell", SHELL)
    with live:
        tokens = {
            role: live.json("token", "create", role, "--role", role)["token"]
            for role in ("viewer", "operator", "admin")
        }

        def ask(method: str, path: str, role: str = "", body: Any = None, **headers: str) -> Any:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            if role:
                headers["Authorization"] = f"Bearer {tokens.get(role, role)}"
            data = None if body is None else json.dumps(body)
            if data is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            content = response.read()
            connection.close()
            return response.status, json.loads(content) if content[:1] in b"{[" else content

        ask.live = live  # type: ignore[attr-defined] # the daemon behind it
        yield ask


def test_a_token_is_needed_but_for_health(door: Any) -> None:
    assert door("GET", "/v1/jobs")[0] == 401
    assert door("GET", "/v1/jobs", "luad_wrong")[0] == 401
    assert door("GET", "/healthz") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("GET", "/v1/jobs", "viewer"),
        ("POST", "/v1/jobs/tidy/trigger", "operator"),
        ("PATCH", "/v1/jobs/tidy/metadata", "operator"),
        ("POST", "/v1/jobs", "admin"),
        ("GET", "/v1/tokens", "admin"),
        ("GET", "/v1/audit", "admin"),
    ],
)
def test_a_role_may_what_it_may(door: Any, method: str, path: str, needs: str) -> None:
    roles = ["viewer", "operator", "admin"]
    for role in roles:
        status, _ = door(method, path, role, None if method == "GET" else {})
        is_allowed = roles.index(role) >= roles.index(needs)
        assert (status != 403) is is_allowed, (role, status)


def test_for_other_hosts_and_from_other_pages_nothing_is_answered(door: Any) -> None:
    assert door("GET", "/v1/jobs", "viewer", Host="evil.example")[0] == 421
    assert door("GET", "/v1/jobs", "viewer", Origin="https://evil.example")[0] == 403


def test_a_revoked_token_is_out(door: Any) -> None:
    made = door("POST", "/v1/tokens", "admin", {"name": "short", "role": "viewer"})[1]
    assert door("DELETE", "/v1/tokens/short", "admin")[0] == 200
    assert door("GET", "/v1/jobs", made["token"])[0] == 401


@pytest.mark.parametrize(
    "channel",
    [
        {"type": "webhook", "url": "https://evil.example/${HOME}"},
        {"type": "apprise", "url": "credential:mail"},
        {"type": "apprise", "url": "json://127.0.0.1:9/"},
        {"type": "webhook", "url": "file:/etc/hostname"},
        {"type": "webhook", "url": "https://a.example/", "allow_private": True},
        {"type": "webhook", "url": "https://a.example/", "headers": {"X": "${HOME}"}},
    ],
)
def test_nobody_from_afar_has_secrets_sent_to_them(door: Any, channel: dict[str, Any]) -> None:
    status, answer = door("POST", "/v1/users", "admin", {"id": "eve", "channels": [channel]})
    assert (status, answer["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path", "role", "body"),
    [
        ("PATCH", "/v1/jobs/shell/metadata", "operator", {"command": "id"}),
        ("PUT", "/v1/jobs/shell/metadata", "admin", {"command": "id"}),
        ("POST", "/v1/jobs/shell/trigger", "operator", {"metadata": {"command": "id"}}),
    ],
)
def test_nobody_from_afar_says_what_a_shell_runs(
    door: Any, method: str, path: str, role: str, body: Any
) -> None:
    status, answer = door(method, path, role, body)
    assert (status, answer["code"]) == (403, "handler_not_allowed")
    shown = door("GET", "/v1/jobs/shell", "viewer")[1]
    assert shown["metadata"] == {"command": "true"}
    assert door("POST", "/v1/jobs/shell/trigger", "operator", {})[0] == 202
    door.live.luad("run", "shell", "--metadata", "command=id", "--force", "--wait")


def ended(door: Any, run_id: str) -> dict[str, Any]:
    """Return the line of the log that tells the end of a run."""
    line: dict[str, Any] = door.live.wait_for("run.ended", run_id=run_id)
    return line


@pytest.mark.parametrize("name", ["shell", "clean", "sweep"])
@pytest.mark.parametrize("body", [{}, {"metadata": {}}])
def test_an_operator_runs_what_a_file_declares_whatever_its_handler(
    door: Any, name: str, body: dict[str, Any]
) -> None:
    status, made = door("POST", f"/v1/jobs/{name}/trigger", "operator", body | {"force": True})
    assert status == 202
    run = ended(door, made["id"])
    assert run["status"] == "succeeded", run
    door.live.luad("retry", made["id"], "--wait")


def test_metadata_over_tcp_reach_no_shell_under_another_name(door: Any) -> None:
    body = {"metadata": {"command": "id"}, "force": True}
    status, made = door("POST", "/v1/jobs/sweep/trigger", "operator", body)
    assert status == 202
    run = ended(door, made["id"])
    assert run["status"] == "failed", run
    assert "leads to `luad.handlers.shell:run`" in json.dumps(run)


def test_a_value_that_is_restored_over_tcp_stays_bound_until_it_is_written_here(door: Any) -> None:
    def run() -> int:
        return door.live.luad("run", "sweep", "--force", "--wait", check=False).returncode

    door.live.luad("metadata", "sweep", "command=exit 0")
    assert run() == 0
    assert door("PATCH", "/v1/jobs/sweep/metadata", "operator", {"command": "true"})[0] == 200
    assert run() != 0
    door.live.luad("metadata", "sweep", "other=1")
    assert run() != 0
    door.live.luad("metadata", "sweep", "--replace", 'command="true"')
    assert run() == 0


NEW = {"name": "new", "handler": "h:tick", "schedule": {"type": "interval", "seconds": 3600}}
STEERED = {"env": {"GIT_SSH_COMMAND": "id"}}


def test_nobody_from_afar_steers_programs_by_their_environment(door: Any) -> None:
    assert door("POST", "/v1/jobs", "admin", NEW | STEERED)[0] == 403
    assert door("POST", "/v1/jobs", "admin", NEW)[0] == 201
    assert door("PATCH", "/v1/jobs/new", "admin", STEERED)[0] == 403
    many = {"action": "create", "jobs": [NEW | STEERED | {"name": "other"}]}
    (result,) = door("POST", "/v1/jobs:batch", "admin", many)[1]["results"]
    assert (result["ok"], result["error"]["code"]) == (False, "forbidden")


def test_nobody_from_afar_has_files_sent_to_them(door: Any) -> None:
    assert door("POST", "/v1/users", "admin", {"id": "mallory"})[0] == 201
    message = {"messages": [{"type": "file", "path": "/etc/hostname"}]}
    status, answer = door("POST", "/v1/users/mallory/send", "admin", message)
    assert (status, answer["code"]) == (403, "forbidden")


def test_nobody_from_afar_speaks_for_somebody_else(door: Any) -> None:
    status, answer = door("POST", "/v1/jobs/tidy/deactivate", "operator", {"author": "root"})
    assert (status, answer["pause"]["author"]) == (200, "token operator")
    assert door("POST", "/v1/jobs/tidy/activate", "operator", {})[0] == 200


def written_down(door: Any, path: str) -> list[dict[str, Any]]:
    """The audit trail's entries of a path. They are written beside the answer, so there may be none yet."""
    until = monotonic() + PATIENCE_S
    while True:
        entries = door("GET", "/v1/audit", "admin")[1]["entries"]
        found = [each for each in entries if each["path"] == path]
        if found or monotonic() > until:
            return found


def test_who_asked_stands_in_the_audit_trail(door: Any) -> None:
    door("POST", "/v1/jobs/tidy/trigger", "operator", {})
    entries = written_down(door, "/v1/jobs/tidy/trigger")
    assert any(each["actor"] == "token operator" for each in entries)


def test_who_was_refused_stands_there_too_by_name_and_without_a_process(door: Any) -> None:
    assert door("DELETE", "/v1/jobs/nobodys", "viewer")[0] == 403
    (entry,) = written_down(door, "/v1/jobs/nobodys")
    assert (entry["actor"], entry["status"]) == ("token viewer", 403)
    assert (entry["via"], entry["uid"], entry["pid"]) == ("tcp", -1, -1)
    assert entry["client"] == "127.0.0.1"
