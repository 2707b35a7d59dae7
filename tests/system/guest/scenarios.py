"""The scenarios of the guest: ``scenarios.py NAME`` runs the function of that name."""

from __future__ import annotations

import os
import re
import signal
import stat
import sys
from pathlib import Path

from lib import (
    JOBS,
    LUAD,
    await_entry,
    await_message,
    await_start,
    drop_in,
    luad,
    prepare,
    run,
    show,
    write_handlers,
    write_job,
)

PROBE = """
import os, threading
from pathlib import Path

def hello(job):
    print("hello from", job.name)

def hold(job):
    print("holding on")
    threading.Event().wait()

def reach(job):
    def tried(action):
        try:
            action()
        except OSError as error:
            return error.strerror
        return "done"
    return {
        "own": tried(lambda: Path("/var/lib/luad/probe").write_text("x")),
        "etc": tried(lambda: Path("/etc/luad/probe").write_text("x")),
        "usr": tried(lambda: Path("/usr/probe").write_text("x")),
        "home": tried(lambda: list(Path("/root").iterdir())),
        "uid": os.getuid(),
        "leaked": sorted(
            name for name in os.environ
            if name.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_", "JOURNAL_STREAM"))
        ),
    }
"""


def start() -> None:
    """Ready means: the jobs are loaded, the socket answers, the status line says so."""
    write_job("one", "probe:hello")
    write_job("two", "probe:hello", "{type: cron, expression: '@hourly'}")
    run("systemctl", "start", "luad")
    assert show("ActiveState") == "active"
    assert re.search(r"\b2 jobs\b", show("StatusText")), show("StatusText")
    assert {job["name"] for job in luad("list")["jobs"]} == {"one", "two"}
    status = Path(f"/proc/{show('MainPID')}").stat()
    assert status.st_uid != 0
    socket = Path("/run/luad/luad.sock").stat()
    assert (stat.S_IMODE(socket.st_mode), socket.st_uid) == (0o660, status.st_uid)
    assert luad("status")["systemd"] is True


def reload() -> None:
    """`systemctl reload` answers for the files: it fails on a broken one, and luad runs on."""
    write_job("one", "probe:hello")
    run("systemctl", "start", "luad")
    pid = show("MainPID")
    path = write_job("two", "probe:hello")
    run("systemctl", "reload", "luad")
    assert {job["name"] for job in luad("list")["jobs"]} == {"one", "two"}

    path.write_text("name: two\nhandler: [\n")
    assert run("systemctl", "reload", "luad", expect=None).returncode != 0
    assert (show("ActiveState"), show("MainPID")) == ("active", pid)
    stale = {job["name"]: job["file"]["stale"] for job in luad("list")["jobs"]}
    assert stale == {"one": False, "two": True}
    assert "stale" in show("StatusText")

    path.unlink()
    run("systemctl", "reload", "luad")
    assert [job["name"] for job in luad("list")["jobs"]] == ["one"]
    assert "stale" not in show("StatusText")


def crash() -> None:
    """A daemon that is killed comes back, and no run stays open."""
    drop_in("RestartSec=100ms")
    write_job("holder", "probe:hold")
    run("systemctl", "start", "luad")
    luad("run", "holder")
    await_message("holding on", "LUAD_JOB=holder")
    pid = int(show("MainPID"))
    os.kill(pid, signal.SIGKILL)
    await_start(2)
    assert show("MainPID") not in (str(pid), "0")
    assert show("NRestarts") == "1"
    (ended,) = luad("history", "holder")["runs"]
    assert ended["status"] == "lost"


def watchdog() -> None:
    """A loop that no longer turns is ended and started again."""
    drop_in("WatchdogSec=1\nRestartSec=100ms\nTimeoutAbortSec=2")
    run("systemctl", "start", "luad")
    pid = int(show("MainPID"))
    os.kill(pid, signal.SIGSTOP)
    await_message("Watchdog timeout", "_PID=1")
    await_start(2)
    assert show("MainPID") not in (str(pid), "0")
    assert show("ActiveState") == "active"


def stop() -> None:
    """A run that does not end by itself holds the stop up for the drain and no longer."""
    drop_in(
        "ExecStart=\nTimeoutStopSec=20\n"
        f"ExecStart={LUAD} serve --jobs /etc/luad/jobs.d --log-format auto --drain 1s"
    )
    write_job("holder", "probe:hold")
    run("systemctl", "start", "luad")
    luad("run", "holder")
    await_message("holding on", "LUAD_JOB=holder")
    run("systemctl", "stop", "luad")
    assert (show("ActiveState"), show("Result")) == ("inactive", "success")
    run("systemctl", "start", "luad")
    (ended,) = luad("history", "holder")["runs"]
    assert (ended["status"], ended["reason"]) == ("lost", "stopped")


def journal() -> None:
    """Lines of a job can be found by its name; what it prints is the message."""
    write_job("talker", "probe:hello")
    write_job("other", "probe:hello")
    run("systemctl", "start", "luad")
    luad("run", "other", "--wait")
    run_id = luad("run", "talker", "--wait")["id"]
    said = await_message("hello from talker", "LUAD_JOB=talker")
    assert said["LUAD_EVENT"] == "run.output"
    assert said["LUAD_RUN"] == run_id
    assert said["SYSLOG_IDENTIFIER"] == "luad"
    ended = await_entry(lambda entry: entry["LUAD_EVENT"] != "run.output", f"LUAD_RUN={run_id}")
    assert ended["PRIORITY"] == "6"
    assert re.fullmatch("[0-9a-f]{32}", ended["MESSAGE_ID"])
    assert ended["CODE_FILE"].endswith(".py")
    assert ended["_SYSTEMD_UNIT"] == "luad.service"
    listed = run("journalctl", "LUAD_JOB=talker", "-o", "cat").stdout
    assert "hello from talker" in listed
    assert "hello from other" not in listed


def sandbox() -> None:
    """A handler writes where the service may, nowhere else, and knows nothing of systemd."""
    write_job("reacher", "probe:reach")
    run("systemctl", "start", "luad")
    result = luad("run", "reacher", "--wait")["result"]
    assert result["own"] == "done"
    assert "done" not in (result["etc"], result["usr"], result["home"])
    assert result["uid"] != 0
    assert result["leaked"] == []


def hardened() -> None:
    """The opt-in drop-in leaves plain handlers alone."""
    folder = Path("/etc/systemd/system/luad.service.d")
    assert (folder / "hardened.conf").exists()
    write_job("plain", "probe:hello")
    run("systemctl", "start", "luad")
    assert luad("run", "plain", "--wait")["status"] == "succeeded"


def socket() -> None:
    """With the socket unit a client may call first, and the socket outlives a restart."""
    run("systemctl", "start", "luad.socket")
    path = Path("/run/luad/luad.sock")
    inode = path.stat().st_ino
    write_job("one", "probe:hello")
    assert [job["name"] for job in luad("list")["jobs"]] == ["one"]
    assert show("ActiveState") == "active"
    run("systemctl", "restart", "luad")
    assert [job["name"] for job in luad("list")["jobs"]] == ["one"]
    run("systemctl", "stop", "luad.service")
    assert path.stat().st_ino == inode
    assert show("ActiveState", "luad.socket") == "active"


def bad_settings() -> None:
    """Settings that cannot be meant so end the daemon once, with 78, and not in a loop."""
    Path("/etc/luad/luad.yaml").write_text("no_such_setting: 1\n")
    drop_in(f"ExecStart=\nExecStart={LUAD} --config /etc/luad/luad.yaml serve")
    assert run("systemctl", "start", "luad", expect=None).returncode != 0
    assert show("ExecMainStatus") == "78"
    assert (show("ActiveState"), show("NRestarts")) == ("failed", "0")


def broken_files() -> None:
    """Broken job files are no reason not to start."""
    write_job("one", "probe:hello")
    (JOBS / "broken.yaml").write_text("name: [\n")
    run("systemctl", "start", "luad")
    assert [job["name"] for job in luad("list")["jobs"]] == ["one"]


def stray_signal() -> None:
    """A TERM that no administrator has sent does not keep luad down; a stop does."""
    drop_in("RestartSec=100ms")
    run("systemctl", "start", "luad")
    for number in range(7):  # more often than systemd's own limit of starts
        os.kill(int(show("MainPID")), signal.SIGTERM)
        await_start(number + 2)
    assert show("ActiveState") == "active"
    run("systemctl", "stop", "luad")
    assert (show("ActiveState"), show("Result")) == ("inactive", "success")


def socket_beside() -> None:
    """The page's commands put luad.socket beside a service that runs, and take it away again."""
    run("systemctl", "start", "luad")
    for command in commands_of("systemctl enable luad.socket"):
        run("sh", "-ec", command)
    assert show("ActiveState", "luad.socket") == show("ActiveState") == "active"
    assert luad("status")["systemd"] is True
    inode = Path("/run/luad/luad.sock").stat().st_ino
    run("systemctl", "restart", "luad")
    assert Path("/run/luad/luad.sock").stat().st_ino == inode
    run("sh", "-ec", "systemctl disable --now luad.socket && systemctl restart luad.service")
    assert luad("status")["systemd"] is True
    assert Path("/run/luad/luad.sock").stat().st_ino != inode


def commands_of(first: str) -> list[str]:
    """Return the block of commands of the how-to that begins with *first*."""
    page = Path(os.environ["LUAD_CHECKOUT"]) / "docs/how-to/run-under-systemd.md"
    found = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    (block,) = [each for each in found if each.startswith(first)]
    return block.splitlines()


def install() -> None:
    """The script does every step of the page but the program, and can be run twice."""
    for path in ("/etc/systemd/system/luad.service", "/etc/sysusers.d/luad.conf"):
        Path(path).unlink(missing_ok=True)
    run("systemctl", "daemon-reload")
    script = f"{os.environ['LUAD_CHECKOUT']}/systemd/install.sh"
    run(script, "--service")
    assert show("ActiveState") == "active"
    assert show("UnitFileState") == "enabled"
    pid = show("MainPID")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # that of a login
    found = run("env", f"PATH={path}", "sh", "-ec", "command -v luad; luad --version").stdout
    assert found.startswith("/usr/local/bin/luad\n")
    for name, mode in (("jobs.d", 0o750), ("users.d", 0o750), ("handlers", 0o750)):
        assert stat.S_IMODE(Path(f"/etc/luad/{name}").stat().st_mode) == mode
    assert stat.S_IMODE(Path("/var/lib/luad").stat().st_mode) == 0o700
    write_job("kept", "probe:hello")
    drop_in("Environment=KEPT=yes")
    run(script, "--service")
    assert show("ActiveState") == "active"
    assert show("MainPID") != pid, "the new program counts"
    assert [job["name"] for job in luad("list")["jobs"]] == ["kept"]
    assert "KEPT=yes" in show("Environment")
    Path("/usr/local/bin/luad").unlink()
    Path("/usr/local/bin/luad").write_text("another program")
    run(script, "--service")
    assert Path("/usr/local/bin/luad").read_text() == "another program"


SCENARIOS = {
    each.__name__: each
    for each in (
        start,
        reload,
        crash,
        watchdog,
        stop,
        journal,
        sandbox,
        hardened,
        socket,
        bad_settings,
        broken_files,
        stray_signal,
        socket_beside,
        install,
    )
}

if __name__ == "__main__":
    prepare()
    write_handlers(PROBE)
    SCENARIOS[sys.argv[1]]()
