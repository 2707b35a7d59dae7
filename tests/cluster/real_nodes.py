"""Nodes as real processes on a real PostgreSQL: starts them, reads their lines, asks the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from luad.core.shards import SHARDS

JOBS = 12
LONG_S = 120.0
TESTS = Path(__file__).parents[1]


class Process:
    """One node, and the lines that it has printed."""

    def __init__(self, url: str, name: str, folder: Path, **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        self.name, self.folder = name, folder
        self.lines: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cluster.claims_node", url, name, str(JOBS)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(TESTS), **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def events(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.lines if each["event"] == event]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Cluster:
    """Nodes on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.nodes: dict[str, Process] = {}
        self.connection = psycopg.connect(url, autocommit=True)

    def start(self, *names: str, **environment: str) -> None:
        for name in names:
            if name in self.nodes:
                self.nodes[name].end()
            self.nodes[name] = Process(self.url, name, self.folder / name, **environment)

    def end(self) -> None:
        for node in self.nodes.values():
            node.end()
        self.connection.close()

    def ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()

    def do(self, statement: str, parameters: tuple[object, ...] = ()) -> None:
        self.connection.execute(statement, parameters)

    def one(self, query: str, *parameters: object) -> Any:
        return self.ask(query, *parameters)[0][0]

    def owners(self) -> Counter[str]:
        """How many shards each living session holds, by the locks."""
        space = int(self.one("SELECT value FROM meta WHERE key = 'lock_space'"))
        rows = self.ask(
            "SELECT a.application_name, count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.classid = (%s::bigint & 4294967295)::oid"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " GROUP BY 1",
            space,
        )
        return Counter({name.removeprefix("luad "): count for name, count in rows})

    def owns_all(self, *names: str) -> bool:
        owners = self.owners()
        return owners.total() == SHARDS and {*owners} == {*names}

    def claims(self) -> int:
        return int(self.one("SELECT count(*) FROM starts"))

    def goes_on(self) -> None:
        """Wait until every job has been claimed some more."""
        before = self.claims()
        wait_until(lambda: self.claims() >= before + 2 * JOBS)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that must come; how long it takes says nothing."""
    pause = threading.Event()
    for _ in range(int(LONG_S / 0.1)):
        if is_so():
            return
        pause.wait(0.1)
    raise AssertionError("it does not come")
