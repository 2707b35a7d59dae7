"""Make `state.tar.gz` and `expected.json` again: the state that luad 0.1.0 (revision 1868eb1) leaves.

    git worktree add --detach /some/where 1868eb1
    PYTHONPATH=/some/where python tests/data/state-0.1.0/make.py

The daemon is killed, so that runs stay open. It takes about two minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - a real daemon is waited for
from typing import Any

from luad import __version__
from luad.client import Client
from luad.clock import wall_ms
from luad.wire import format_instant

HERE = Path(__file__).parent
ROWS = 1_000
TICKS = 12
DYNAMIC: tuple[dict[str, Any], ...] = (
    {
        "name": "weekly-review",
        "handler": "work:good",
        "schedule": {"type": "cron", "expression": "0 8 * * MON", "timezone": "Asia/Tokyo"},
        "user": "ann",
        "metadata": {"topic": "review"},
    },
    {
        "name": "every-eleven",
        "handler": "work:good",
        "schedule": {"type": "interval", "seconds": 660},
        "catch_up": "none",
    },
    {
        "name": "remind-2098",
        "handler": "work:good",
        "schedule": {"type": "once", "execute_at": "2098-03-04T05:06:07Z"},
        "metadata": {"message": "it is time"},
    },
    {
        "name": "dynamic-paused",
        "handler": "work:good",
        "schedule": {"type": "interval", "seconds": 3600},
    },
    {
        "name": "dynamic-remembers",
        "handler": "work:remember",
        "schedule": {"type": "interval", "seconds": 2592000},
        "metadata": {"region": "declared"},
    },
)


def main() -> None:
    assert __version__ == "0.1.0", f"this is luad {__version__}, not 0.1.0"
    with tempfile.TemporaryDirectory(prefix="luad-state.") as name:
        folder = Path(name)
        shutil.copytree(HERE / "project", folder, dirs_exist_ok=True)
        fill_in(folder)
        expected = record(folder)
        settle(folder / ".luad" / "luad.db")
        pack(folder, HERE / "state.tar.gz")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


def fill_in(folder: Path) -> None:
    """Write what depends on the time, and the jobs that fill the history."""
    path = folder / "jobs.d" / "intervals.yaml"
    soon = format_instant(wall_ms() // 1_000 * 1_000 + 5_000)
    path.write_text(path.read_text().replace("@SOON@", soon))
    write_ticks(folder, "1s")


def write_ticks(folder: Path, every: str) -> None:
    documents = [
        f"name: tick-{number:02}\nhandler: work:good\n"
        f"schedule: {{type: interval, every: {every}}}\ncatch_up: none\n"
        for number in range(TICKS)
    ]
    documents.append(documents[0].replace("tick-00", "overlapping").replace("good", "slow"))
    (folder / "jobs.d" / "ticks.yaml").write_text("---\n".join(documents))


def record(folder: Path) -> dict[str, Any]:
    """Run the daemon, let all this happen, kill it; return what it said last."""
    command = [sys.executable, "-m", "luad", "serve", "--jobs", "jobs.d", "--state", ".luad"]
    command += ["--socket", ".luad/luad.sock", "--log-format", "json"]
    environ = {**os.environ, "LUAD_MAX_CONCURRENT_RUNS": "64"}
    daemon = subprocess.Popen(command, cwd=folder, env=environ, start_new_session=True)
    try:
        os.chdir(folder)
        client = Client(Path(".luad/luad.sock"))
        wait_until(lambda: (folder / ".luad/luad.sock").exists() and status(client) == "ok")
        tokens = live(folder, client)
        at = wall_ms()
        found = {
            "luad": __version__,
            "at": at,
            "jobs": client.get("/jobs", include_dynamic=True, limit=500)["jobs"],
            "tokens": client.get("/tokens")["tokens"],
            "secrets": tokens,
            "users": client.get("/users")["users"],
            "metadata": {
                name: client.get(f"/jobs/{name}/metadata")
                for name in ("remembers", "dynamic-remembers")
            },
        }
        for job in found["jobs"]:
            for key in ("recent_runs", "last_run", "summary", "health", "running", "queued"):
                del job[key]
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        os.chdir(HERE)
    return found


def live(folder: Path, client: Client) -> dict[str, str]:
    """Let everything happen that the state is to remember; return the tokens' secrets."""
    for body in DYNAMIC:
        client.request("POST", "/jobs", body, headers={"Idempotency-Key": f'"make-{body["name"]}"'})
    client.post("/users", {"id": "bob", "full_name": "Bob Added", "channels": ["inbox"]})
    client.request("PATCH", "/users/bob/data", {"plan": "gold"})
    client.post("/users/ann/send", {"messages": ["hello"], "title": "first"})
    trigger(client, "remembers", "dynamic-remembers", "parent", times=1)
    trigger(client, "failing", times=2)
    trigger(client, "paused-by-failures", times=3)
    for name in ("running", "running-again", "queueing"):
        client.post(f"/jobs/{name}/trigger", {"trigger": "manual"})
    client.post("/jobs/queueing/trigger", {"trigger": "manual"})
    client.post("/jobs/retrying/trigger", {"trigger": "manual"})
    wait_until(lambda: client.get("/runs", job="retrying")["runs"][0]["status"] == "retrying")
    client.post("/jobs/paused-by-hand/deactivate", {"reason": "until the new server is there"})
    client.post("/jobs/paused-until/deactivate", {"until": "2097-01-01T00:00:00Z"})
    client.post("/jobs/dynamic-paused/deactivate", {"reason": "not now"})
    tokens = {
        name: client.post("/tokens", {"name": name, "role": role, **more})["token"]
        for name, role, more in (
            ("look", "viewer", {}),
            ("act", "operator", {"expires_in": "3650d"}),
            ("all", "admin", {}),
        )
    }
    database = folder / ".luad" / "luad.db"
    wait_until(lambda: count_of(database) >= ROWS, seconds=400)
    write_ticks(folder, "1h")
    (folder / "jobs.d" / "stale.yaml").write_text("name: stale\nhandler: work:good\nschedule: {\n")
    client.post("/config/reload", {})
    wait_until(lambda: not busy(client, "tick-00") and not busy(client, "overlapping"))
    return tokens


def trigger(client: Client, *names: str, times: int) -> None:
    """Run each job *times* times, one run after the other."""
    for name in names:
        for _ in range(times):
            run = client.post(f"/jobs/{name}/trigger", {"trigger": "manual"})["id"]
            wait_until(lambda run=run: client.get(f"/runs/{run}")["completed_at"] is not None)


def busy(client: Client, name: str) -> int:
    return int(client.get(f"/jobs/{name}")["running"])


def status(client: Client) -> str:
    try:
        return str(client.get("/status")["status"])
    except Exception:  # noqa: BLE001 - it is on its way
        return ""


def count_of(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])


def wait_until(is_so: Callable[[], object], seconds: float = 60) -> None:
    until = monotonic() + seconds
    while not is_so():
        assert monotonic() < until, "it did not happen"
        sleep(0.2)  # a script, not a test


def settle(database: Path) -> None:
    """Move the log of writes into the database: one file is smaller than two."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def pack(folder: Path, target: Path) -> None:
    """Pack the project with its state; no socket, and no names of this machine's users."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in entry.name or entry.name.endswith((".sock", "-shm", "-wal")):
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(target, "w:gz", compresslevel=9) as archive:
        for each in sorted(folder.iterdir()):
            archive.add(each, each.name, filter=plain)


if __name__ == "__main__":
    main()
