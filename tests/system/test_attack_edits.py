"""Ways in which files of a running daemon are written, and ways in which it may not hear of that."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - writers that pause do so in real time

import pytest
from support.attack import besieged, job
from support.forked_daemon import ForkedDaemon
from support.live_daemon import PATIENCE_S, LiveDaemon

DROPPINGS = (".x.yaml.swp", "x.yaml~", "#x.yaml#", ".#x.yaml", "4913", "x.yaml.tmp", "_x.yaml",
             "x.yaml.bak", "x.yaml.rpmsave", "x.yaml.dpkg-new", ".x.yaml.draft", "x.yaml.swx")  # fmt: skip


OVERFLOWED = struct.pack("iIII", -1, 0x4000, 0, 0)
"""The last word of a queue of inotify(7) that was full."""


def names_in_force(daemon: LiveDaemon) -> set[str]:
    return {each["name"] for each in daemon.json("list")["jobs"]}


def described(daemon: LiveDaemon, name: str) -> str:
    return str(daemon.json("show", name)["description"])


# --- how files are written ---------------------------------------------------------------------


def block(name: str, version: int) -> str:
    """A job without any bracket: cut off at the end of a line, it may be a job all the same."""
    return (
        f"---\nname: {name}\ndescription: version {version}\nhandler: work:note\n"
        "schedule:\n  type: interval\n  seconds: 3600\ntimeout: 600\n"
    )


def test_slow_writers_take_no_job_away_and_change_none_by_halves(tmp_path: Path) -> None:
    """150 writes in place, each of ten jobs and with two pauses of up to a second; the pauses fall
    between lines, where what is there so far may be a whole file."""
    daemon = besieged(tmp_path, env={"LUAD_SETTLE": "4s"})
    stems = [f"slow-{number}" for number in range(50)]

    def text(stem: str, version: int) -> str:
        return "".join(block(f"{stem}-{number}", version) for number in range(10))

    def write(stem: str, number: int, version: int) -> None:
        lines = text(stem, version).splitlines(keepends=True)
        first = (number * 7 + version * 31) % len(lines)
        with (daemon.jobs / f"{stem}.yaml").open("w") as file:
            sleep(number % 10 / 10)  # empty
            file.writelines(lines[:first])
            file.flush()
            sleep(number % 7 / 7)  # half
            file.writelines(lines[first:])

    for stem in stems:
        daemon.write_job(stem, text(stem, 0))
    with daemon:
        before = {each["name"]: each["id"] for each in daemon.json("list")["jobs"]}
        for version in (1, 2, 3):
            writers = [
                threading.Thread(target=write, args=(stem, number, version))
                for number, stem in enumerate(stems)
            ]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
        daemon.luad("reload")
        views = daemon.json("list")["jobs"]
        assert {each["name"]: each["id"] for each in views} == before
        assert {each["description"] for each in views if each["name"] != "tick"} == {"version 3"}
        assert daemon.stop() == 0
        lines = [line for line in daemon.drain_log() if line["event"] == "config.installed"]
        assert [line for line in lines if line["removed"]] == []
    revisions = daemon.rows(
        "SELECT DISTINCT json_extract(definition_json, '$.schedule.seconds'), "
        "json_extract(definition_json, '$.timeout') FROM revisions WHERE name LIKE 'slow%'"
    )
    assert revisions == [(3600, 600)], "no half of a file was ever in force"


def test_each_file_that_is_renamed_into_place_is_one_reload(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    with daemon:
        for version in range(60):
            daemon.write_job("edited", job("edited", seconds=3600, more=f"description: v{version}"))
            daemon.wait_for("config.installed")
        assert described(daemon, "edited") == "v59"
        assert daemon.stop() == 0
        installed = [line for line in daemon.drain_log() if line["event"] == "config.installed"]
        assert len(installed) == 1 + 60


def test_the_content_decides_and_not_what_the_times_of_a_file_say(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    texts = [job("copied", seconds=3600, more=f"description: v{number}") for number in range(3)]
    path = daemon.write_job("copied", texts[0])
    old = tmp_path / "old"
    shutil.copy2(path, old)
    with daemon:
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        path.write_text(texts[1])  # as long as before
        os.utime(path, ns=times)
        daemon.wait_for("config.installed", replaced=1)
        assert described(daemon, "copied") == "v1"
        shutil.copy2(old, path)  # cp -p: older than what was there
        daemon.wait_for("config.installed", replaced=1)
        assert described(daemon, "copied") == "v0"
        seen = len(daemon.lines)
        path.write_text(texts[0])  # the same again
        path.touch()
        daemon.write_job("copied", texts[2])
        daemon.write_job("copied", texts[0])  # and back, faster than anybody looks
        for name in DROPPINGS:
            (daemon.jobs / name).write_text(job("dropping"))
        daemon.write_job("sentinel", job("sentinel", seconds=3600))
        daemon.wait_for("config.installed", added=1)
        assert names_in_force(daemon) == {"tick", "copied", "sentinel"}
        changed = [line for line in daemon.lines[seen:] if line["event"] == "config.installed"]
        assert {line["replaced"] for line in changed[:-1]} <= {1}, changed
        assert described(daemon, "copied") == "v0"


def test_a_job_that_moves_to_another_file_stays_what_it_is(tmp_path: Path) -> None:
    """Paused it stays paused, under its id and without a word: in a file that is renamed, and as a
    document that leaves its file a while before it arrives in another one."""
    daemon = besieged(tmp_path)
    daemon.write_job("old", job("moved", seconds=3600))
    pair = job("stays", seconds=3600) + "---\n" + job("leaves", seconds=3600)
    daemon.write_job("pair", pair)
    with daemon:
        daemon.luad("pause", "leaves", "moved", "--reason", "nobody is there")
        before = {each["name"]: each["id"] for each in daemon.json("list")["jobs"]}
        (daemon.jobs / "old.yaml").rename(daemon.jobs / "new.yaml")
        daemon.write_job("pair", job("stays", seconds=3600))
        daemon.wait_for("run.ended", job="tick")
        daemon.write_job("apart", job("leaves", seconds=3600, more="timeout: 7"))
        daemon.wait_for("config.installed", replaced=1, removed=0)
        for _ in range(3):  # until it has settled
            daemon.wait_for("run.ended", job="tick")
        after = daemon.json("list")["jobs"]
        assert {each["name"]: each["id"] for each in after} == before
        paused = {each["name"] for each in after if each["status"] == "paused"}
        assert paused == {"leaves", "moved"}
        assert Path(daemon.json("show", "moved")["file"]["path"]).name == "new.yaml"
        assert "config.problem" not in {line["event"] for line in daemon.lines}


# --- what cannot be read ------------------------------------------------------------------------


def test_a_file_without_permission_is_told_with_what_to_run_and_keeps_its_job(
    tmp_path: Path,
) -> None:
    daemon = besieged(tmp_path)
    if os.geteuid() == 0:  # root with its powers may read everything
        daemon.launcher = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    path = daemon.write_job("secret", job("secret", seconds=3600))
    with daemon:
        for mode, code in ((0o000, "LU036"), (0o4644, "LU032")):
            path.chmod(mode)
            line = daemon.wait_for("config.problem", code=code)
            assert daemon.json("show", "secret")["file"]["stale"] is True
            subprocess.run(line["help"].removeprefix("run: "), shell=True, check=True)  # noqa: S602 - what the help says must work as it stands
            daemon.luad("reload")
            assert daemon.json("show", "secret")["file"]["stale"] is False


@contextmanager
def disk_at(folder: Path) -> Iterator[bool]:
    """A file system of its own at *folder* for a while; False where nobody may mount one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "mode=0755", "luad-test", str(folder)]
    is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    required = os.environ.get("LUAD_SYSTEM_TESTS") == "required"
    assert is_mounted or not required, "nothing can be mounted"
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def test_an_unmounted_folder_keeps_its_jobs_until_it_is_mounted_again(tmp_path: Path) -> None:
    daemon = ForkedDaemon(tmp_path, env={"LUAD_SETTLE": "1s"})
    daemon.write_handler("work", "def note(job): pass")
    try:
        with disk_at(daemon.jobs) as is_mounted:
            for name in ("tick", "tock"):
                daemon.write_job(name, job(name))
            daemon.start()
            daemon.wait_for("run.ended", job="tick")
        if is_mounted:
            daemon.wait_for("config.problem", code="LU039")
            for _ in range(2):  # until it would have settled
                daemon.wait_for("run.ended", job="tock", status="succeeded")
            assert names_in_force(daemon) == {"tick", "tock"}
        with disk_at(daemon.jobs):
            daemon.write_job("tick", job("tick"))
            daemon.wait_for("config.installed", removed=1)
            assert names_in_force(daemon) == {"tick"}
            assert not [line for line in daemon.lines if line.get("removed", 0) > 1]
    finally:
        daemon.__exit__(None, None, None)


# --- when the kernel says nothing ---------------------------------------------------------------


@pytest.mark.needs("unshare")
@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_without_notifications_it_warns_and_looks_every_second(tmp_path: Path, limit: str) -> None:
    daemon = besieged(tmp_path)
    script = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
    daemon.launcher = ("unshare", "--user", "--map-root-user", "/bin/sh", "-c", script, "sh")
    with daemon:
        (told,) = [line for line in daemon.lines if line["event"] == "watch.degraded"]
        assert f"sysctl fs.inotify.{limit.replace('inotify', 'user')}=" in told["message"]
        daemon.write_job("new", job("new", seconds=3600))
        daemon.wait_for("config.installed", added=1)
        daemon.write_job("new", job("new", seconds=1800))
        daemon.wait_for("config.installed", replaced=1)


def test_a_change_that_nothing_announces_is_found_by_the_next_look(tmp_path: Path) -> None:
    """The file is a link to one below the folder, where nobody watches; it is written in place."""
    daemon = besieged(tmp_path, env={"LUAD_RESCAN": "1s"})
    (daemon.jobs / "below").mkdir()
    real = daemon.jobs / "below" / "linked.txt"
    real.write_text(job("linked", seconds=3600))
    (daemon.jobs / "linked.yaml").symlink_to("below/linked.txt")
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        real.write_text(job("linked", seconds=1800))
        daemon.wait_for("config.installed", replaced=1)


@contextmanager
def second_ear(daemon: LiveDaemon) -> Iterator[Callable[[], bytes]]:
    """A queue that the kernel fills as it does the daemon's, and that nobody reads before it is asked for."""
    watches = (
        re.search(rf"inotify .* ino:{daemon.jobs.stat().st_ino:x} .* mask:([0-9a-f]+)", line)
        for path in Path(f"/proc/{daemon.process.pid}/fdinfo").iterdir()
        for line in path.read_text().splitlines()
    )
    mask = next(int(watch[1], 16) for watch in watches if watch)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as queue:  # noqa: PTH123 - it has no path
        assert libc.inotify_add_watch(descriptor, bytes(daemon.jobs), mask) > 0
        yield lambda: b"".join(iter(lambda: queue.read(65_536) or b"", b""))


def test_a_queue_of_notifications_that_overflows_leaves_the_folder_in_force(tmp_path: Path) -> None:
    """While the daemon stands still, the kernel's queue is filled, and what happens then is lost."""
    daemon = besieged(tmp_path)
    kept = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(400):
        daemon.write_job(f"old-{number}", job(f"old-{number}", seconds=3600))
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        daemon.process.send_signal(signal.SIGSTOP)
        with second_ear(daemon) as listen:
            for _ in range(kept // 2 + 1):  # two files in turn: the same again would count as one
                (daemon.jobs / "old-0.yaml").touch()
                (daemon.jobs / "old-1.yaml").touch()
            for number in range(200):
                (daemon.jobs / f"old-{number}.yaml").unlink()
                daemon.write_job(f"new-{number}", job(f"new-{number}", seconds=3600))
            heard = listen()
        assert heard.endswith(OVERFLOWED), "the kernel has forgotten something"
        assert b"new-" not in heard
        daemon.process.send_signal(signal.SIGCONT)
        # It may look at the two files that it heard of before it learns that the queue has overflowed.
        added = removed = 0
        while (added, removed) != (200, 200):
            line = daemon.wait_for("config.installed")
            added, removed = added + line["added"], removed + line["removed"]
            assert max(added, removed) <= 200
        expected = {
            "tick",
            *(f"new-{n}" for n in range(200)),
            *(f"old-{n}" for n in range(200, 400)),
        }
        assert names_in_force(daemon) == expected


@pytest.mark.needs("strace")
def test_an_edit_between_the_first_watch_and_the_first_look_is_seen(tmp_path: Path) -> None:
    """The daemon is held, for a second each, where it is about to watch the folder. If it had looked
    before, the edit of that second would be in nobody's eyes."""
    trace = tmp_path / "trace"
    daemon = besieged(tmp_path)
    daemon.launcher = (
        "strace", "--daemonize", "-f", "-qq", "-o", str(trace),
        "-e", "trace=inotify_add_watch", "-e", "inject=inotify_add_watch:delay_enter=1s",
    )  # fmt: skip
    daemon.start(wait=False)
    try:
        deadline = monotonic() + PATIENCE_S
        while not (trace.exists() and "inotify_add_watch" in trace.read_text()):
            assert monotonic() < deadline, "it never began to watch"
            sleep(0.005)
        daemon.write_job("between", job("between", seconds=3600))
        assert " = " not in trace.read_text(), "it watches already: too late to say anything"
        daemon.wait_ready()
        assert "between" in names_in_force(daemon)
    finally:
        daemon.__exit__(None, None, None)
