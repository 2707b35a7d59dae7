"""Files that luad holds are deleted under it: the socket, and the lock of the state folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.forked_daemon import ForkedDaemon

pytestmark = pytest.mark.slow


def test_34_92_a_socket_and_a_lock_that_were_deleted_come_back_within_a_beat(
    tmp_path: Path,
) -> None:
    with ForkedDaemon(tmp_path) as daemon:
        (daemon.state / "luad.lock").unlink()
        daemon.socket.unlink()
        command = [sys.executable, "-m", "luad", "serve", "--jobs", str(daemon.jobs)]
        command += ["--state", str(daemon.state), "--socket", str(tmp_path / "second.sock")]
        second = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (second.returncode, "is running on" in second.stderr) == (8, True), second.stderr
        daemon.wait_for("api.socket_restored", timeout_s=60, socket=str(daemon.socket))
        daemon.wait_for("store.lock_restored", timeout_s=60)
        assert daemon.json("status")["status"] == "ok"
        assert (daemon.state / "luad.lock").read_text() == f"{daemon.process.pid}\n"
    assert not daemon.socket.exists()
    assert (daemon.state / "luad.lock").read_text() == ""


def test_92_a_deleted_socket_that_another_program_has_taken_is_told(tmp_path: Path) -> None:
    with ForkedDaemon(tmp_path / "a", "--listen", "127.0.0.1:0") as daemon:
        daemon.socket.unlink()
        other = ForkedDaemon(tmp_path / "b")
        other.socket = daemon.socket
        with other:
            line = daemon.wait_for("api.socket_lost", timeout_s=60)
            assert "another program answers" in line["why"]
        daemon.wait_for("api.socket_restored", timeout_s=60)
