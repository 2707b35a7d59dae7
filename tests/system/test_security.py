"""Who may give luad orders, tried on a daemon that runs."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.attack import besieged, job
from support.live_daemon import LiveDaemon

STRANGER = 65_534
ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    sock.sendall(b"POST /v1/config/reload HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n")
    print(sock.recv(100).split()[1].decode())
"""


def ask_socket(daemon: LiveDaemon, path: str) -> str:
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.socket))
    connection.request("GET", path)
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="luad-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_stranger_cannot_open_the_socket_and_who_can_is_written_down(open_folder: Path) -> None:
    with besieged(open_folder) as daemon:
        assert daemon.socket.stat().st_mode & 0o777 == 0o660
        if os.geteuid() != 0:
            return  # nobody else can be tried without root; the mode is all there is to it

        def ask(group: int) -> subprocess.CompletedProcess[str]:
            # A Python that everybody may run: the one of the tests may stand below /root.
            command = ["/usr/bin/python3", "-c", ASK, str(daemon.socket)]
            return subprocess.run(
                command, user=STRANGER, group=group, extra_groups=[], capture_output=True, text=True,
                check=False, cwd="/", timeout=30,
            )  # fmt: skip

        refused = ask(STRANGER)
        assert "PermissionError" in refused.stderr
        let_in = ask(daemon.socket.stat().st_gid)
        assert let_in.stdout == "200\n", let_in.stderr
        line = daemon.wait_for("api.changed", path="/v1/config/reload")
        assert (line["uid"], line["via"]) == (STRANGER, "unix")


def test_a_stored_job_whose_handler_was_exchanged_does_not_run(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    with daemon:
        daemon.luad("create", "made", "--handler", "work:note", "--every", "1s")
        daemon.wait_for("run.ended", job="made")
    database = sqlite3.connect(daemon.state / "luad.db")
    with database:
        changed = database.execute(
            "UPDATE jobs SET definition_json = replace(definition_json, 'work:note', 'os:abort')"
            " WHERE name = 'made'"
        )
        assert changed.rowcount == 1
    database.close()
    daemon.lines.clear()
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        refusals = [each["error"] for each in daemon.lines if each["event"] == "job.refused"]
        assert ["os:abort" in each for each in refusals] == [True]
        shown = daemon.json("show", "made")
        assert (shown["status"], shown["handler"]) == ("paused", "os:abort")
        assert "standard library" in shown["pause"]["reason"]
        assert "LU307" in ask_socket(daemon, "/v1/config")


WHO = """
import os
print("imported by", os.getpid(), os.getppid())

def note(job):
    print("called by", os.getpid())
"""


def test_a_handler_is_imported_by_its_runs_alone(tmp_path: Path) -> None:
    """Whatever the daemon does with a job, its code is not the daemon's."""
    with besieged(tmp_path) as daemon:
        daemon.write_handler("who", WHO)
        daemon.write_job("who", job("who", "who:note"))
        daemon.luad("reload", check=False)
        daemon.luad("create", "made", "--handler", "who:note", "--every", "1h")
        for _ in range(2):
            line = daemon.wait_for("run.output", job="who", stream="stdout")
            while not line["message"].startswith("imported by"):
                line = daemon.wait_for("run.output", job="who", stream="stdout")
            importer, parent = map(int, line["message"].split()[2:])
            assert daemon.process.pid not in {importer, parent}
        loaded = Path(f"/proc/{daemon.process.pid}/maps").read_text()
        assert str(daemon.handlers) not in loaded
        printed = [each for each in daemon.lines if "imported by" in str(each.get("message"))]
        assert all(each["event"] == "run.output" for each in printed)


@pytest.mark.parametrize(
    ("place", "mode", "what"),
    [
        ("handlers", 0o777, "the folder of handlers"),
        ("handlers/work.py", 0o666, "a handler"),
        ("handlers/pack", 0o777, "a handler"),
        ("state", 0o777, "the state folder"),
        ("luad.yaml", 0o666, "luad.yaml"),
    ],
)
def test_where_others_may_write_luad_takes_no_orders(
    tmp_path: Path, place: str, mode: int, what: str
) -> None:
    (tmp_path / "luad.yaml").write_text("timezone: UTC\n")
    (tmp_path / "state").mkdir()
    daemon = besieged(tmp_path, "--config", str(tmp_path / "luad.yaml"))
    (tmp_path / "handlers" / "pack").mkdir()
    (tmp_path / place).chmod(mode)
    refused = daemon.refusal()
    assert refused.returncode == 78, refused.stderr
    assert f"{what} cannot be trusted" in refused.stderr
    assert f"run: chmod o-w {tmp_path / place}" in refused.stderr.replace("go-w", "o-w")
    if place == "handlers":
        config = ("--config", str(tmp_path / "luad.yaml"))
        doctor = daemon.luad(*config, "doctor", "--no-import", check=False)
        assert f"{what} cannot be trusted" in doctor.stdout


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("handlers", "the folder of handlers"),
        ("handlers/work.py", "a handler"),
        ("state", "the state folder"),
        ("luad.yaml", "luad.yaml"),
    ],
)
def test_what_is_somebody_elses_gives_luad_no_orders(tmp_path: Path, place: str, what: str) -> None:
    (tmp_path / "luad.yaml").write_text("timezone: UTC\n")
    (tmp_path / "state").mkdir(mode=0o700)
    daemon = besieged(tmp_path, "--config", str(tmp_path / "luad.yaml"))
    os.chown(tmp_path / place, 65534, -1)
    refused = daemon.refusal()
    assert refused.returncode == 78, refused.stderr
    assert f"{what} cannot be trusted" in refused.stderr
    assert f"run: chown root {tmp_path / place}" in refused.stderr
    assert not list((tmp_path / "state").iterdir())


def test_who_says_so_has_luad_trust_such_places(tmp_path: Path) -> None:
    daemon = besieged(tmp_path, env={"LUAD_PERMIT_INSECURE": "yes"})
    daemon.handlers.chmod(0o777)
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")


def test_a_folder_like_tmp_is_as_it_should_be(tmp_path: Path) -> None:
    """There everybody may add, and nobody take away: luad's own settings and state are safe in it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "luad.yaml").write_text("timezone: UTC\n")
    daemon = besieged(tmp_path, "--config", str(shared / "luad.yaml"))
    daemon.state = shared / "state"
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
    (shared / "luad.yaml").write_text("handlers_path: handlers\n")
    refused = daemon.refusal()
    assert refused.returncode == 78, refused.stderr
    assert "the folder of handlers cannot be trusted" in refused.stderr
    assert f"run: mkdir -p -m 755 {shared}/handlers " in refused.stderr


def test_a_state_folder_that_cannot_be_looked_at_is_no_mistake_of_luads(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    daemon.state = tmp_path / ("long" * 100)
    refused = daemon.refusal()
    assert "luad itself failed" not in refused.stderr
    assert refused.stderr.startswith("error[store_unavailable]"), refused.stderr


def test_a_package_of_a_shared_checkout_is_no_program_that_runs_as_its_owner(
    tmp_path: Path,
) -> None:
    daemon = besieged(tmp_path)
    pack = daemon.handlers / "pack"
    pack.mkdir()
    pack.chmod(0o2755)  # what is made in it gets its group; git does that
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
