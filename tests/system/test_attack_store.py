"""A store that cannot be written, in every way that takes no more than an ordinary user, or root without powers."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - a test's patience is real time

import pytest
from support.attack import assert_every_second_has_its_row, besieged, job
from support.live_daemon import PATIENCE_S, LiveDaemon

from luad.client import Client

Trouble = Callable[[LiveDaemon], AbstractContextManager[None]]


@contextmanager
def locked_by_somebody(daemon: LiveDaemon) -> Iterator[None]:
    connection = sqlite3.connect(daemon.state / "luad.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.close()


@contextmanager
def no_permission(daemon: LiveDaemon) -> Iterator[None]:
    daemon.state.chmod(0)
    yield
    daemon.state.chmod(0o750)


@contextmanager
def moved_away(daemon: LiveDaemon) -> Iterator[None]:
    database = daemon.state / "luad.db"
    database.rename(daemon.folder / "away.db")
    yield
    (daemon.folder / "away.db").rename(database)


@contextmanager
def replaced(daemon: LiveDaemon) -> Iterator[None]:
    with moved_away(daemon):
        shutil.copy(daemon.folder / "away.db", daemon.state / "luad.db")
        yield


@contextmanager
def no_byte_more(daemon: LiveDaemon) -> Iterator[None]:
    """Whatever is written into any file fails as it does on a broken disk."""
    pid, hard = daemon.process.pid, resource.RLIM_INFINITY
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (before[0], hard if before[1] < 0 else before[1]))


@contextmanager
def syncs_fail(daemon: LiveDaemon) -> Iterator[None]:
    """The disk takes what is written, and fails when it should keep it."""
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(daemon.process.pid)]
    command += ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        assert tracer.poll() is None
        yield
        assert tracer.poll() is None, (
            "it may not be looked at: see /proc/sys/kernel/yama/ptrace_scope"
        )
        tracer.terminate()


@contextmanager
def all_at_once(daemon: LiveDaemon) -> Iterator[None]:
    with (
        locked_by_somebody(daemon),
        no_byte_more(daemon),
        moved_away(daemon),
        no_permission(daemon),
    ):
        yield


TROUBLES = (locked_by_somebody, no_permission, replaced, no_byte_more, syncs_fail, all_at_once)


@pytest.mark.needs("strace")
def test_while_the_store_cannot_be_written_nothing_starts_and_afterwards_nothing_is_missing(
    tmp_path: Path,
) -> None:
    daemon = besieged(tmp_path)
    if os.geteuid() == 0:  # root with its powers is refused nothing
        daemon.launcher = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    with daemon:
        for trouble in TROUBLES:
            daemon.wait_for("run.ended", job="tick", status="succeeded")
            survive(daemon, trouble)
        assert_every_second_has_its_row(daemon)


def survive(daemon: LiveDaemon, trouble: Trouble) -> None:
    with trouble(daemon):
        daemon.wait_for("store.unavailable")
        failing = len(daemon.lines)
        status = daemon.json("status")
        assert (status["status"], status["store"]["writable"]) == ("degraded", False)
    daemon.wait_for("store.recovered")
    assert "run.started" not in {line["event"] for line in daemon.lines[failing:]}, trouble
    deadline = monotonic() + PATIENCE_S
    while daemon.json("status")["status"] != "ok":  # on a busy machine, runs are late for a while
        daemon.wait_for("run.started", job="tick")
        assert monotonic() < deadline, daemon.json("status")


def test_told_to_stop_while_the_store_fails_it_ends_within_drain_and_grace(tmp_path: Path) -> None:
    daemon = besieged(tmp_path, "--drain", "0s", env={"LUAD_KILL_GRACE": "1s"})
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        with moved_away(daemon):
            daemon.wait_for("store.unavailable")
            daemon.process.terminate()
            daemon.wait_for("daemon.left_undone", timeout_s=60)
            assert daemon.process.wait(60) == 1
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_every_second_has_its_row(daemon)


def mounted(size: str, folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=750", "luad-test", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """A disk of its own at *folder*; False where nobody may mount one, and it is an ordinary folder.

    Where the system tests are required, a disk that cannot be mounted is a failure.
    """
    folder.mkdir()
    if not mounted(size, folder):
        assert os.environ.get("LUAD_SYSTEM_TESTS") != "required", "no small disk can be mounted"
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full_disk(daemon: LiveDaemon) -> Iterator[None]:
    """Whatever room luad makes for itself is taken as well."""
    is_over = threading.Event()

    def fill_again() -> None:
        while not is_over.wait(0.01):
            fill(daemon.state / "filler")

    thread = threading.Thread(target=fill_again)
    thread.start()
    yield
    is_over.set()
    thread.join()
    (daemon.state / "filler").unlink()


def test_a_full_disk_stops_runs_until_there_is_room(tmp_path: Path) -> None:
    """The disk is 1 MB; the log of writes alone would grow to sixteen."""
    daemon = besieged(tmp_path)
    with small_disk(daemon.state, "1m") as is_small, daemon:
        daemon.wait_for("run.ended", job="tick")
        survive(daemon, full_disk if is_small else locked_by_somebody)
        assert_every_second_has_its_row(daemon)


SLOW = """
import os, time

def slow(job):
    note("begun", job)
    while not os.path.exists(FOLDER + "/go"):
        time.sleep(0.02)
    print("this was said")
    note("ended", job)
    return {"answer": 42}

def note(word, job):
    with open(FOLDER + "/slow", "a") as file:
        file.write(f"{word} {job.run_id}\\n")
"""


@pytest.mark.parametrize(
    "trouble",
    [full_disk, no_byte_more, pytest.param(syncs_fail, marks=pytest.mark.needs("strace"))],
)
def test_a_run_that_ends_while_nothing_can_be_written_keeps_its_result_and_is_not_run_again(
    tmp_path: Path, trouble: Trouble
) -> None:
    daemon = besieged(tmp_path)
    daemon.write_handler("slow", f"FOLDER = {str(tmp_path)!r}\n{SLOW}")
    daemon.write_job("slow", job("slow", "slow:slow", 3600, "retry: {max_attempts: 3}"))
    with small_disk(daemon.state, "1m") as is_small, daemon:
        run_id = Client(daemon.socket).post("/jobs/slow/trigger")["id"]
        poll(tmp_path / "slow", lines=1)
        if trouble is full_disk and not is_small:
            trouble = syncs_fail
        with trouble(daemon):
            daemon.wait_for("store.unavailable")
            (tmp_path / "go").touch()
            told = poll(tmp_path / "slow", lines=2)
        ended = daemon.wait_for("run.ended", job="slow")
        assert (ended["run_id"], ended["status"]) == (run_id, "succeeded")
        assert daemon.json("show", run_id)["result"] == {"answer": 42}
        daemon.wait_for("run.ended", job="tick")
        assert "this was said" in daemon.luad("logs", run_id).stdout
        assert_every_second_has_its_row(daemon)
    assert told == [f"begun {run_id}", f"ended {run_id}"]


def poll(path: Path, lines: int) -> list[str]:
    """Wait until a file has so many lines."""
    deadline = monotonic() + PATIENCE_S
    while True:
        found = path.read_text().splitlines() if path.exists() else []
        if len(found) >= lines:
            return found
        assert monotonic() < deadline, found
        sleep(0.02)


def ends_at_once(daemon: LiveDaemon, complaint: str) -> None:
    """It does not come up, says why and where, and does not say that it is broken itself."""
    daemon.complaints = daemon.folder / "complaints"
    daemon.complaints.write_text("")
    daemon.start(wait=False)
    assert daemon.process.wait(PATIENCE_S) not in {0, None}
    said = daemon.complaints.read_text()
    assert complaint in said
    assert str(daemon.state) in said
    assert "Traceback" not in said


def test_where_nothing_can_be_written_it_does_not_start_and_says_why(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    if os.geteuid() == 0:
        daemon.launcher = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    with small_disk(daemon.state, "4m") as is_small:
        with daemon:
            daemon.wait_for("run.ended", job="tick")
        if is_small:
            subprocess.run(["mount", "-o", "remount,ro", str(daemon.state)], check=True)
            ends_at_once(daemon, "Read-only file system")
            subprocess.run(["mount", "-o", "remount,rw", str(daemon.state)], check=True)
        daemon.state.chmod(0)
        ends_at_once(daemon, "Permission denied")
        daemon.state.chmod(0o750)
        (daemon.state / "luad.db").chmod(0o400)
        ends_at_once(daemon, "Permission denied")
        (daemon.state / "luad.db").chmod(0o600)
        with daemon:
            daemon.wait_for("run.ended", job="tick", status="succeeded")
            assert_every_second_has_its_row(daemon)


def fill(path: Path) -> None:
    """Write until nothing more goes in."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
