"""Every durable system call of a small life, one after the other: killed at it, refused by it.

A life is: start, a job with a run, a job for later, one word of metadata, stop. strace counts the
calls of one kind on some files, for each thread by itself, so each `Group` is chosen such that one
thread does them all, or all that are of interest before anybody else does as many. At the n-th call
the daemon is killed, or the call fails once, or it fails from then on; n = 1, 2, 3 ... until two lives
end in which nothing was injected (one may have had a call less than others). After each life luad starts again without strace, and is judged.

    PYTHONPATH=tests python -m faults.syscalls                 everything; takes hours
    PYTHONPATH=tests python -m faults.syscalls --only kill     or any part of a group's name
    PYTHONPATH=tests python -m faults.syscalls --every 5       every fifth call
"""

from __future__ import annotations

import argparse
import copy
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic  # noqa: TID251 - progress is told in real time

from faults.ordeal import LiveDaemon, LuadError, Promises, beset, judge

from luad.client import Client
from luad.store.sqlite.connect import writer_engine
from luad.store.sqlite.migrate import upgrade

DATABASE = ("luad.db", "luad.db-wal", "luad.db-journal")
LOG = ("luad.db-wal",)
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Group:
    """Calls of one kind. *deed* is what strace injects; *about*: how many there are in a life."""

    name: str
    call: str
    deed: str
    files: tuple[str, ...] = ()
    scene: str = "later"
    about: int = 1
    is_lasting: bool = False  # from the n-th call on, not at it alone

    @property
    def is_kill(self) -> bool:
        return "KILL" in self.deed


def groups() -> list[Group]:
    """Every kind of call at every part of a life."""
    places = [
        # (part of the life, call, files, scene, about how many)
        ("birth", "pwrite64", DATABASE, "first", 120),
        ("birth", "fdatasync", DATABASE, "first", 9),
        ("birth", "ftruncate", DATABASE, "first", 1),
        ("birth", "unlink", DATABASE, "first", 3),
        ("lock", "pwrite64", ("luad.lock",), "later", 1),
        ("lock", "ftruncate", ("luad.lock",), "later", 2),
        ("shared", "ftruncate", ("luad.db-shm",), "later", 3),
        ("commit", "pwrite64", LOG, "later", 60),
        ("commit", "fdatasync", LOG, "later", 7),
        ("folder", "fdatasync", ("",), "later", 2),
        ("checkpoint", "pwrite64", ("luad.db",), "later", 22),
        ("checkpoint", "fdatasync", ("luad.db",), "later", 1),
        ("checkpoint", "ftruncate", ("luad.db",), "later", 1),
        ("checkpoint", "unlink", ("luad.db-wal", "luad.db-shm"), "later", 2),
        ("quarantine", "rename", (*DATABASE, "luad.db-shm"), "damaged", 2),
        ("quarantine", "fdatasync", DATABASE, "damaged", 12),
        ("migration", "pwrite64", DATABASE, "older", 120),
        ("migration", "fdatasync", DATABASE, "older", 8),
    ]
    found = []
    for part, call, files, scene, about in places:
        found.append(Group(f"kill {part} {call}", call, "signal=KILL", files, scene, about))
        if call in {"pwrite64", "fdatasync", "ftruncate"}:
            for error in ("EIO", "ENOSPC"):
                for is_lasting in (False, True):
                    name = f"{error}{' lasting' if is_lasting else ''} {part} {call}"
                    deed = f"error={error}"
                    found.append(Group(name, call, deed, files, scene, about, is_lasting))
    # A run is handed to a keeper by this call: its claim is durable, its handler has not got it yet.
    found.append(Group("kill launch writev", "writev", "signal=KILL", about=3))
    # A keeper is asked for by this call, and a forker hands a handler to its keeper.
    found.append(Group("kill process sendmsg", "sendmsg", "signal=KILL", about=6))
    for call, about in (("clone", 2), ("clone3", 7), ("vfork", 1)):
        found.append(Group(f"kill process {call}", call, "signal=KILL", about=about))
        for is_lasting in (False, True):
            name = f"EAGAIN{' lasting' if is_lasting else ''} process {call}"
            found.append(Group(name, call, "error=EAGAIN", about=about, is_lasting=is_lasting))
    return found


# --- scenes ----------------------------------------------------------------------------------------


class Stage:
    """State folders to begin from, made once: a life, and what an older luad has left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.later = folder / "later"
        self.older = folder / "older"
        self.count = 0
        folder.mkdir(exist_ok=True)
        first = beset(self._new_folder())
        self.promises = Promises()
        live(first, self.promises)
        assert first.process.returncode == 0, "a life without harm ends well"
        self.later = first.state
        self.older.mkdir()
        with closing(sqlite3.connect(self.older / "luad.db")) as connection:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("VACUUM")
        engine = writer_engine(self.older / "luad.db")
        upgrade(engine, "0001")
        engine.dispose()

    def _new_folder(self) -> Path:
        self.count += 1
        folder = self.folder / f"{self.count}"
        folder.mkdir()
        return folder

    def daemon(self, scene: str) -> tuple[LiveDaemon, Promises]:
        """A daemon that is about to start, and what was promised before."""
        daemon = beset(self._new_folder())
        if scene != "first":
            shutil.copytree(self.older if scene == "older" else self.later, daemon.state)
        if scene == "damaged":
            (daemon.state / "luad.db").write_bytes(b"no database" * 5_000)
            (daemon.state / "luad.db-wal").write_bytes(b"of nothing")
        if scene == "later":
            shutil.copy(self.later.parent / "handlers" / "told", daemon.handlers)
            return daemon, copy.deepcopy(self.promises)
        return daemon, Promises()


# --- lives -----------------------------------------------------------------------------------------


def live(daemon: LiveDaemon, promises: Promises) -> None:
    """Start, ask for three things, see a run, stop; what was acknowledged is added to *promises*."""
    # What does not come, because somebody is dead or nothing can be written, is no failure.
    with suppress(LuadError, AssertionError):
        daemon.start()
        client = Client(daemon.socket, timeout=3)
        for request in (promises.make, promises.write, promises.make_for_now):
            request(client)
        daemon.wait_for("run.ended", job=f"made-{promises.count}", timeout_s=3)
    if daemon.process.poll() is None:
        daemon.process.send_signal(signal.SIGTERM)
    try:
        daemon.process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        daemon.kill()


def attempt(stage: Stage, group: Group, number: int) -> tuple[bool, str]:
    """Live once with the n-th call of the group spoiled, then again, and judge.

    Return whether there was such a call, and what is wrong.
    """
    daemon, promises = stage.daemon(group.scene)
    trace = daemon.folder / "trace"
    daemon.complaints = daemon.folder / "stderr"
    when = f"{number}+" if group.is_lasting else f"{number}"
    command = ["strace", "-D", "-f", "-qq", "-o", str(trace), "-e", "signal=none"]
    if not group.is_kill:  # it is quicker, but sends no signals
        command.append("--seccomp-bpf")
    command += ["-e", f"trace={group.call}", "-e", f"inject={group.call}:{group.deed}:when={when}"]
    for name in group.files:
        command += ["-P", str(daemon.state / name) if name else str(daemon.state)]
    daemon.launcher = tuple(command)
    live(daemon, promises)
    if daemon.process.returncode == -signal.SIGKILL and not group.is_kill:
        return True, f"it does not end within {PATIENCE_S} s"
    text = trace.read_text()
    was_hit = "INJECTED" in text or " = ?" in text  # who is killed in a call never hears the answer
    complaint = daemon.complaints.read_text()
    if "Traceback" in complaint or "luad itself failed" in complaint:
        return was_hit, complaint
    if early := started_while_nothing_could_be_written(daemon):
        return was_hit, early
    daemon.launcher = ()
    daemon.lines.clear()
    try:
        judge(daemon, promises)
    except AssertionError as error:
        return was_hit, str(error)
    shutil.rmtree(daemon.folder)
    return was_hit, ""


def started_while_nothing_could_be_written(daemon: LiveDaemon) -> str:
    """Claim, then start: while the store fails nothing does."""
    is_failing = False
    for line in daemon.drain_log():
        if line["event"] in {"store.unavailable", "store.recovered"}:
            is_failing = line["event"] == "store.unavailable"
        elif is_failing and line["event"] == "run.started":
            return f"{line['run_id']} was started while the store could not be written"
    return ""


# --- the long one ----------------------------------------------------------------------------------


def run_through(
    stage: Stage, group: Group, every: int, say: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Go through the calls of a group; return how many were spoiled, and what went wrong."""
    failures = []
    number, count, misses = 1, 0, 0
    while misses < 2:
        was_hit, wrong = attempt(stage, group, number)
        if wrong:
            failures.append(f"{group.name} at {number}: {wrong}")
            say(failures[-1])
        number += every
        count += was_hit
        misses = 0 if was_hit else misses + 1
    return count, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="groups whose name has this in it")
    parser.add_argument("--every", type=int, default=1, help="every so many calls")
    chosen = parser.parse_args()
    began, failures = monotonic(), []
    with tempfile.TemporaryDirectory(prefix="luad-syscalls-") as folder:
        stage = Stage(Path(folder))
        for group in groups():
            if chosen.only not in group.name:
                continue
            count, wrong = run_through(stage, group, chosen.every, print)
            failures += wrong
            print(
                f"{monotonic() - began:6.0f} s  {group.name}: {count} calls, {len(wrong)} wrong",
                flush=True,
            )
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
