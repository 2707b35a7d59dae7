"""A store that cannot be written, in every way that takes no more than an ordinary user, or root without powers."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from attack import assert_every_second_has_its_row, besieged
from live import LiveDaemon

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
def all_at_once(daemon: LiveDaemon) -> Iterator[None]:
    with (
        locked_by_somebody(daemon),
        no_byte_more(daemon),
        moved_away(daemon),
        no_permission(daemon),
    ):
        yield


def test_while_the_store_cannot_be_written_nothing_starts_and_afterwards_nothing_is_missing(
    tmp_path: Path,
) -> None:
    daemon = besieged(tmp_path)
    if os.geteuid() == 0:  # root with its powers is refused nothing
        daemon.launcher = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    with daemon:
        for trouble in (locked_by_somebody, no_permission, replaced, no_byte_more, all_at_once):
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
    daemon.wait_for("run.started", job="tick")
    assert daemon.json("status")["status"] == "ok"


def test_told_to_stop_while_the_store_fails_it_ends_within_drain_and_grace(tmp_path: Path) -> None:
    daemon = besieged(tmp_path, "--drain", "0s", env={"LUAD_KILL_GRACE": "1s"})
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        with moved_away(daemon):
            daemon.wait_for("store.unavailable")
            daemon.process.terminate()
            daemon.wait_for("daemon.left_undone", timeout_s=15)
            assert daemon.process.wait(15) == 1
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_every_second_has_its_row(daemon)


def mounted(size: str, folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "luad-test", str(folder)]
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


def test_a_full_disk_stops_runs_until_there_is_room(tmp_path: Path) -> None:
    """The disk is 1 MB; the log of writes alone would grow to sixteen."""
    daemon = besieged(tmp_path)
    with small_disk(daemon.state, "1m") as is_small, daemon:
        daemon.wait_for("run.ended", job="tick")
        if is_small:
            fill(daemon.state / "filler")
            daemon.wait_for("store.unavailable")
            (daemon.state / "filler").unlink()
            daemon.wait_for("store.recovered")
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_every_second_has_its_row(daemon)


def fill(path: Path) -> None:
    """Write until nothing more goes in."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
