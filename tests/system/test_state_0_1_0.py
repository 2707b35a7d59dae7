"""Today's luad takes over a project that luad 0.1.0 ran until it was killed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libfaketime
import pytest
from support.live_daemon import LiveDaemon
from support.old_state import unpack

from luad.client import Client
from luad.clock import wall_ms
from luad.errors import RefusedError

pytestmark = pytest.mark.slow
KEPT = (
    *("id", "name", "handler", "dynamic", "enabled", "schedule", "tags", "user_id", "metadata"),
    *("revision", "creation", "consecutive_failures", "status", "pause", "file"),
    *("next_run_at", "next_scheduled_for"),
)
GOES_ON = {"running", "running-again", "queueing", "retrying"}
"""The jobs whose runs were open: the restart ends or continues these."""


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return unpack(tmp_path)


@pytest.fixture
def daemon(expected: dict[str, Any], tmp_path: Path) -> Iterator[LiveDaemon]:
    """Serve the project, three seconds after 0.1.0 was killed."""
    ahead_s = (expected["at"] - wall_ms()) // 1_000 + 3
    (tmp_path / "clock").write_text(f"{ahead_s:+d}\n")
    _, preload = libfaketime.get_reload_information()
    faked = {
        **preload,
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    live = LiveDaemon(Path(), "--drain", "0.2s", "--listen", "127.0.0.1:0", env=faked)
    live.state, live.socket = Path(".luad"), Path(".luad/luad.sock")
    with live:
        yield live


def test_ids_counters_and_next_fire_times_are_the_same_and_no_job_counts_as_changed(
    daemon: LiveDaemon, expected: dict[str, Any]
) -> None:
    (installed,) = [line for line in daemon.lines if line["event"] == "config.installed"]
    assert (installed["added"], installed["replaced"], installed["removed"]) == (0, 0, 0)
    client = Client(daemon.socket)
    found = {
        job["name"]: job for job in client.get("/jobs", include_dynamic=True, limit=500)["jobs"]
    }
    assert found.keys() == {job["name"] for job in expected["jobs"]}
    for job in expected["jobs"]:
        mine = found[job["name"]]
        keys = [key for key in KEPT if job["name"] not in GOES_ON or key != "consecutive_failures"]
        assert {key: mine[key] for key in keys} == {key: job[key] for key in keys}
    for name, metadata in expected["metadata"].items():
        assert client.get(f"/jobs/{name}/metadata") == metadata


def test_open_runs_are_ended_or_continued(daemon: LiveDaemon) -> None:
    daemon.wait_until_seen("run.started", job="queueing")
    question = "SELECT state FROM runs WHERE job_name = ? ORDER BY claimed_at, id"
    assert daemon.rows(question, "running") == [("lost",)]
    assert daemon.rows(question, "running-again") == [("running",)]
    assert daemon.rows(question, "queueing") == [("lost",), ("running",)]
    assert daemon.rows(question, "retrying") == [("retrying",)]


def test_tokens_and_users_are_known(daemon: LiveDaemon, expected: dict[str, Any]) -> None:
    client = Client(daemon.socket)
    known = {user["id"]: user["full_name"] for user in client.get("/users")["users"]}
    assert known == {user["id"]: user["full_name"] for user in expected["users"]}
    assert client.get("/users/bob/data") == {"plan": "gold"}
    for old, new in zip(expected["tokens"], client.get("/tokens")["tokens"], strict=True):
        assert old.items() <= new.items()
    address = client.get("/status")["listen"]
    for name, secret in expected["secrets"].items():
        assert Client(url=f"http://{address}", token=secret).get("/jobs")["jobs"], name
    with pytest.raises(RefusedError, match="a valid token is needed"):
        Client(url=f"http://{address}", token=expected["secrets"]["look"] + "x").get("/jobs")


def test_systemd_is_told_to_wait_before_luad_is_ready(
    expected: dict[str, Any], tmp_path: Path
) -> None:
    assert expected["luad"] == "0.1.0"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        live = LiveDaemon(
            Path(), "--drain", "0.2s", env={"NOTIFY_SOCKET": str(tmp_path / "notify")}
        )
        live.state, live.socket = Path(".luad"), Path(".luad/luad.sock")
        with live:
            told = manager.recv(4096).decode()
            assert told.startswith("EXTEND_TIMEOUT_USEC="), told
            while "READY=1" not in told:
                told = manager.recv(4096).decode()
            events = [line["event"] for line in live.lines]
            assert events.index("store.migrating") < events.index("store.migrated")
