"""Damage to the state folder: while luad runs, while it is down, and with a restart of the machine."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from faults.ordeal import LiveDaemon, beset, counts_of, job

HANG = "import signal\n\ndef hang(job):\n    print('hanging', flush=True)\n    signal.pause()\n"


def delete(daemon: LiveDaemon) -> None:
    for suffix in ("", "-wal", "-shm"):
        (daemon.state / f"luad.db{suffix}").unlink()


def empty_the_folder(daemon: LiveDaemon) -> None:
    shutil.rmtree(daemon.state)


@pytest.mark.parametrize("deed", [delete, empty_the_folder])
def test_a_database_that_is_gone_is_told_and_nothing_is_written_to_a_file_nobody_will_find(
    tmp_path: Path, deed: Callable[[LiveDaemon], None]
) -> None:
    daemon = beset(tmp_path)
    with daemon:
        daemon.wait_for("run.ended", job="each", status="succeeded")
        deed(daemon)
        before = contents(daemon.state)
        told = daemon.wait_for("store.unavailable")
        assert "was deleted or replaced" in told["error"]
        failing = len(daemon.lines)
        status = daemon.json("status")
        assert (status["status"], status["store"]["writable"]) == ("degraded", False)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait(30)
        assert "run.started" not in {line["event"] for line in daemon.drain_log()[failing:]}
        assert contents(daemon.state) == before
    daemon.lines.clear()
    with daemon:
        daemon.wait_for("run.ended", job="each", status="succeeded")


def contents(state: Path) -> dict[str, bytes]:
    """Return the files that a restart would find; `-shm` is for present readers."""
    files = [state / "luad.db", state / "luad.db-wal"]
    return {each.name: each.read_bytes() for each in files if each.exists()}


@pytest.mark.parametrize("suffixes", [["-wal"], ["-wal", "-shm"]], ids="".join)
def test_files_beside_the_database_that_are_removed_while_it_is_down_stop_nobody(
    tmp_path: Path, suffixes: list[str]
) -> None:
    daemon = beset(tmp_path)
    with daemon:
        daemon.wait_for("run.ended", job="each", status="succeeded")
        daemon.kill()
    for suffix in suffixes:
        (daemon.state / f"luad.db{suffix}").unlink()
    daemon.lines.clear()
    with daemon:
        daemon.wait_for("run.ended", job="each", status="succeeded")
        assert "store.corrupt" not in {line["event"] for line in daemon.lines}
    assert daemon.rows("PRAGMA integrity_check") == [("ok",)]


def test_the_database_of_a_newer_luad_ends_it_for_good_and_is_left_alone(tmp_path: Path) -> None:
    daemon = beset(tmp_path)
    with daemon:
        daemon.wait_for("run.ended", job="each", status="succeeded")
    with closing(sqlite3.connect(daemon.state / "luad.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    before = (daemon.state / "luad.db").read_bytes()
    daemon.complaints = daemon.folder / "complaints"
    daemon.start(wait=False)
    assert daemon.process.wait(30) == 78, "systemd does not try again"
    assert "newer luad" in daemon.complaints.read_text()
    assert (daemon.state / "luad.db").read_bytes() == before


def test_after_a_restart_of_the_machine_what_ran_is_lost_and_whoever_has_its_pid_lives(
    tmp_path: Path,
) -> None:
    daemon = beset(tmp_path)
    daemon.write_handler("work", HANG)
    for name in ("each", "again", "waits"):
        (daemon.jobs / f"{name}.yaml").unlink()
    daemon.write_job("long", job("long", "hang", 1))
    with daemon:
        run_id = daemon.wait_for("run.output", message="hanging")["run_id"]
        daemon.kill()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        with closing(sqlite3.connect(daemon.state / "luad.db")) as connection, connection:
            connection.execute(
                "UPDATE runs SET pid = ?, boot_id = 'before' WHERE id = ?", (stranger.pid, run_id)
            )
        with daemon:
            again = daemon.wait_for("run.output", message="hanging")["run_id"]
            assert again != run_id
            assert daemon.rows("SELECT state FROM runs WHERE id = ?", run_id) == [("lost",)]
        assert stranger.poll() is None
        stranger.kill()
    assert counts_of(daemon)["lost"] == 2  # and the one that the stop had to end
