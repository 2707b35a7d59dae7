"""`luad serve` as several nodes on one PostgreSQL store, for tests of a whole cluster."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
from cluster.real_nodes import wait_until
from support.live_daemon import LiveDaemon

HANDLER = """
import os
import time

STARTS = os.path.join(os.path.dirname(__file__), "..", "..", "starts.txt")


def tick(job):
    handle = os.open(STARTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{job.run_id} {job.attempt}\\n".encode())


def hang(job):
    time.sleep(600)
"""
JOB = """
name: {name}
handler: work:tick
schedule: {{type: interval, seconds: 1, start_at: "2026-01-01T00:00:00Z"}}
catch_up: all
overlap: allow
max_running: 100
"""
HANGING = """
name: hanging
handler: work:hang
schedule: {type: cron, expression: "0 0 1 1 *"}
"""
COUNT = 6


class Nodes:
    """Some nodes with the same files on one database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.daemons: dict[str, LiveDaemon] = {}
        self.connection = psycopg.connect(url, autocommit=True)

    def start(self, *names: str, has_files: bool = True, **more: str) -> None:
        for name in names:
            env = {"LUAD_STORE": self.url, "LUAD_NODE": name, "LUAD_DRAIN": "0s", **more}
            daemon = LiveDaemon(self.folder / name, env=env)
            daemon.complaints = self.folder / f"{name}.err"
            (daemon.handlers / "work.py").write_text(HANDLER)
            self.daemons[name] = daemon
            if has_files:
                self.write_files(daemon)
        for name in names:
            self.daemons[name].start(wait=False)
        for name in names:
            self.daemons[name].wait_ready()

    @staticmethod
    def write_files(daemon: LiveDaemon) -> None:
        for number in range(COUNT):
            daemon.write_job(f"job-{number}", JOB.format(name=f"job-{number}"))
        daemon.write_job("hanging", HANGING)

    def ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()

    def one(self, query: str) -> Any:
        return self.ask(query)[0][0]

    def succeeded(self) -> int:
        return int(self.one("SELECT count(*) FROM runs WHERE state = 'succeeded'"))

    def goes_on(self) -> None:
        before = self.succeeded()
        wait_until(lambda: self.succeeded() >= before + 2 * COUNT)

    def owners(self) -> set[str]:
        found = self.ask(
            "SELECT DISTINCT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.classid = (%s::bigint & 4294967295)::oid",
            int(self.one("SELECT value FROM meta WHERE key = 'lock_space'")),
        )
        return {name.removeprefix("luad ") for (name,) in found}

    def told(self, name: str) -> list[float | None]:
        """Return the number of a metric of each node."""
        found = [metric(each, name) for each in self.daemons.values()]
        return sorted(found, key=lambda each: (each is None, each))

    def check_books(self, *, has_pauses: bool = False) -> None:
        """One row an occurrence, none missing on the grid, none started twice."""
        twice = self.ask(
            "SELECT job_name, scheduled_for FROM runs WHERE trigger IN ('schedule', 'catchup')"
            " GROUP BY 1, 2 HAVING count(*) > 1"
        )
        assert twice == []
        holes = self.ask(  # one row tells all that a late node has skipped
            "SELECT * FROM (SELECT job_name, sum(coalesce(skip_count, 1)) AS found,"
            " (max(scheduled_for) - min(coalesce(skip_first, scheduled_for))) / 1000 + 1 AS due"
            " FROM runs WHERE trigger IN ('schedule', 'catchup') GROUP BY 1) AS books WHERE found <> due"
        )
        assert has_pauses or holes == []
        starts = Counter((self.folder / "starts.txt").read_text().splitlines())
        assert [each for each, count in starts.items() if count > 1] == []

    def end(self) -> None:
        for daemon in self.daemons.values():
            daemon.kill()
        self.connection.close()


def states(daemon: LiveDaemon) -> dict[str, str]:
    return {each["name"]: each["status"] for each in daemon.json("list")["jobs"]}


def seen(daemon: LiveDaemon, key: str) -> dict[str, Any]:
    return {each["name"]: each[key] for each in daemon.json("nodes")["nodes"]}


def metric(daemon: LiveDaemon, name: str) -> float | None:
    """The number of a metric without labels; None if the daemon does not tell it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(daemon.socket))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: luad\r\nconnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    lines = (line.split() for line in answer.splitlines())
    return next((float(words[1]) for words in lines if words and words[0] == name), None)
