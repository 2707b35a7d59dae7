"""Handlers of every bad kind, all at once, beside one that only wants to be on time."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.attack import assert_every_second_has_its_row, assert_on_time, besieged, job

BAD = """
import ctypes, os, resource, signal, sys, threading, time


def flood(job):
    for _ in range(100):
        sys.stdout.buffer.write((b"x" * 99 + b"\\n") * 10_000)


def endless_line(job):
    for _ in range(160):
        sys.stdout.buffer.write(b"y" * 65_536)


def segfault(job):
    ctypes.string_at(0)


def vanish(job):
    os._exit(7)


def daemonise(job):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        os._exit(0)


def litter(job):
    for _ in range(200):
        if os.fork() == 0:
            os.setsid()
            while True:
                signal.pause()


def close_all(job):
    os.closerange(0, 4096)


def scribble(job):
    for descriptor in range(3, 101):
        try:
            os.write(descriptor, b"junk" * 100)
        except OSError:
            pass


def forge_depth(job):
    deep = b"[" * 900 + b"]" * 900
    os.write(3, b'L{"ts": 1, "level": "info", "logger": "x", "message": "x", "extras": %s}' % deep)
    os.write(3, b"R" + deep)
    os.write(3, b'O{"kind": "returned", "has_result": true}')
    os._exit(0)


def kill_parent(job):
    hit(os.getppid(), signal.SIGKILL)
    while True:
        signal.pause()


def hit(pid, number):
    # Not the daemon, which is the parent of what dead keepers leave.
    if b"serve" not in open(f"/proc/{pid}/cmdline", "rb").read():
        os.kill(pid, number)


def parent_of(pid):
    return int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])


def kill_keeper(job):
    hit(parent_of(os.getppid()), signal.SIGKILL)
    while True:
        signal.pause()


def kill_spawner(job):
    hit(parent_of(parent_of(os.getppid())), signal.SIGKILL)


def stop_spawner(job):
    hit(parent_of(parent_of(os.getppid())), signal.SIGSTOP)


def kill_group(job):
    os.kill(0, signal.SIGKILL)


def hog(job):
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def deaf(job):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def read_stdin(job):
    assert sys.stdin.read() == ""


def change_all(job):
    os.umask(0)
    os.chdir("/")
    os.environ.clear()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))


def huge_result(job):
    return ["z" * 1000] * 10_000


class Evil(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


def evil(job):
    raise Evil


def deep(job):
    def dive():
        dive()

    dive()


def chained(job):
    error = None
    for _ in range(3_000):
        following = ValueError("x" * 1000)
        following.__cause__ = error
        error = following
    raise error


class Liar:
    def __getattribute__(self, name):
        raise BaseException("never")


def liar(job):
    return Liar()


def threads(job):
    for _ in range(50):
        threading.Thread(target=time.sleep, args=(3600,)).start()


def stop_self(job):
    os.kill(os.getpid(), signal.SIGSTOP)


def stop_daemon(job):
    os.kill(job.metadata["pid"], signal.SIGSTOP)
"""

ENDINGS = {
    "flood": {"succeeded"},
    "endless_line": {"succeeded"},
    "segfault": {"failed"},
    "vanish": {"failed"},
    "daemonise": {"succeeded"},
    "litter": {"succeeded"},
    "close_all": {"succeeded"},
    "scribble": {"succeeded"},
    "forge_depth": {"succeeded"},
    "kill_parent": {"lost"},
    "kill_spawner": {"succeeded"},
    "stop_spawner": {"succeeded"},
    "kill_group": {"failed"},
    "hog": {"failed"},
    "deaf": {"timed_out"},
    "read_stdin": {"succeeded"},
    "change_all": {"succeeded"},
    "huge_result": {"succeeded"},
    "evil": {"failed"},
    "deep": {"failed"},
    "chained": {"failed"},
    "liar": {"failed"},
    "threads": {"timed_out"},
    "stop_self": {"timed_out"},
}
LIMITS = {"hog": "limits: {memory: 256M}"}
CRON = "name: {name}\nhandler: {handler}\nschedule: {{type: cron, expression: '{when}'}}\n{more}\n"


@pytest.mark.slow
def test_bad_handlers_make_nobody_else_late(tmp_path: Path) -> None:
    """Twenty-four kinds of them start in the same instant, and `tock` with them.

    A fork bomb is the runner's own test: limits on processes do not bind root.
    """
    daemon = besieged(tmp_path, env={"LUAD_KILL_GRACE": "1s"})
    daemon.write_handler("bad", BAD)
    more = {name: f"timeout: 3s\n{LIMITS.get(name, '')}" for name in ENDINGS}
    texts = [
        CRON.format(
            name=name.replace("_", "-"), handler=f"bad:{name}", when="*/4 * * * * *", more=m
        )
        for name, m in more.items()
    ]
    daemon.write_job(
        "tock", CRON.format(name="tock", handler="work:note", when="* * * * * *", more="")
    )
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        daemon.write_job("bad", "---\n".join(texts))
        daemon.wait_for("config.installed", added=len(ENDINGS))
        daemon.wait_for("run.ended", job="deaf", status="timed_out")
        daemon.write_job("bad", "# no more\n")
        daemon.luad("reload")
        daemon.wait_for("run.ended", job="tick")
        for name, states in ENDINGS.items():
            rows = daemon.rows(
                "SELECT state FROM runs WHERE job_name = ? AND state <> 'skipped'",
                name.replace("_", "-"),
            )
            assert rows, name
            # A keeper or forker that another handler kills takes its runs with it.
            assert rows[0][0] in {*states, "lost"}, (name, rows)
        assert_on_time(daemon, most_ms=2_000)
        assert_on_time(daemon, most_ms=2_000, name="tock")
        assert daemon.json("status")["status"] == "ok"


def test_a_daemon_that_was_stopped_by_a_handler_goes_on_where_it_was(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    daemon.write_handler("bad", BAD)
    with daemon:
        pid = daemon.process.pid
        daemon.write_job(
            "stopper", job("stopper", "bad:stop_daemon", 1, f"metadata: {{pid: {pid}}}")
        )
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        daemon.jobs.joinpath("stopper.yaml").unlink()
        with pytest.raises(subprocess.TimeoutExpired):  # two occurrences pass
            daemon.process.wait(2.3)
        os.kill(pid, signal.SIGCONT)
        daemon.wait_for("run.skipped", job="tick", reason="coalesced")
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert_every_second_has_its_row(daemon)
