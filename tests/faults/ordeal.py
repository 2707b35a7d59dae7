"""A daemon that is going to die again and again, and the judge of what it leaves.

The jobs tell on a file of their own what was really started and for how long it was alive; requests
are remembered once they are answered. `judge` holds both against the database.
"""

from __future__ import annotations

import random  # noqa: TID251 - the seed is an argument
import shutil
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from simulation.checker import violations
from simulation.history import Settled, Stopped
from simulation.stored import history_of, settled_in
from support.attack import assert_every_second_has_its_row
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

from luad.client import Client
from luad.clock import wall_ms
from luad.errors import LuadError, UnavailableError

WORK = """
import os, signal, time

TOLD = os.path.join(os.path.dirname(__file__), "told")


def tell(job, word):
    line = f"{word} {job.name} {job.run_id} {job.attempt} {time.monotonic_ns()}\\n"
    fd = os.open(TOLD, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


def stamp(job):
    tell(job, "started")
    print("stamped", job.name)


def linger(job):
    tell(job, "started")
    for _ in range(30):
        time.sleep(0.05)
        tell(job, "alive")
"""


def job(name: str, handler: str, seconds: int, more: str = "") -> str:
    schedule = f"schedule: {{type: interval, seconds: {seconds}}}"
    return f"name: {name}\nhandler: work:{handler}\n{schedule}\n{more}\n"


EVERY_SECOND = ("each", "again", "long", "waits")


def beset(folder: Path, *options: str, env: dict[str, str] | None = None) -> LiveDaemon:
    """A daemon, not yet started, with jobs of every second that overlap, wait, and are run again."""
    patience = {"LUAD_KILL_GRACE": "1s", **(env or {})}
    daemon = ForkedDaemon(folder, "--drain", "0s", *options, env=patience)
    daemon.write_handler("work", WORK)
    daemon.write_job("each", job("each", "stamp", 1))
    daemon.write_job("again", job("again", "stamp", 1, "on_lost: retry\nretry: {max_attempts: 3}"))
    daemon.write_job("long", job("long", "linger", 1))
    daemon.write_job("waits", job("waits", "linger", 1, "overlap: queue\non_lost: retry"))
    daemon.write_job("rare", job("rare", "stamp", 3600))
    return daemon


# --- requests --------------------------------------------------------------------------------------


@dataclass
class Promises:
    """The acknowledged requests. A request without an answer may have happened or not."""

    made: set[str] = field(default_factory=set)  # to run in an hour
    gone: set[str] = field(default_factory=set)
    soon: dict[str, str] = field(default_factory=dict)  # to run at once, and to leave: job ids
    written: int = 0  # the last value of `n` that was acknowledged
    asked: int = 0  # the last one that was asked for
    count: int = 0
    settled: tuple[Settled, ...] = ()  # runs that were over when they were looked at last

    def ask(self, daemon: LiveDaemon, dice: random.Random) -> None:
        """One request; raises UnavailableError when there is no answer."""
        client = Client(daemon.socket, timeout=60)
        ways = [self.make, self.make_for_now, self.write]
        if len(self.made) > 5:  # some are there for long
            ways.append(self.remove)
        dice.choice(ways)(client, dice)

    def make(self, client: Client, _: object = None) -> None:
        name = self._new_name()
        client.post("/jobs", {"name": name, "handler": "work:stamp", "in": "30d"})
        self.made.add(name)

    def make_for_now(self, client: Client, _: object = None) -> None:
        name = self._new_name()
        made = client.post("/jobs", {"name": name, "handler": "work:stamp", "in": 0})
        self.soon[name] = made["id"]

    def _new_name(self) -> str:
        self.count += 1
        return f"made-{self.count}"

    def remove(self, client: Client, dice: random.Random) -> None:
        name = dice.choice(sorted(self.made))
        self.made.discard(name)  # from now on nobody can say
        client.request("DELETE", f"/jobs/{name}")
        self.gone.add(name)

    def write(self, client: Client, _: object = None) -> None:
        self.asked += 1
        answer = client.request("PATCH", "/jobs/rare/metadata", {"n": self.asked})
        assert answer["n"] == self.asked
        self.written = self.asked

    def broken(self, daemon: LiveDaemon) -> list[str]:
        """Return every promise that the running daemon does not keep."""
        client = Client(daemon.socket)
        there = {each["name"] for each in client.get("/jobs", include_dynamic=True)["jobs"]}
        wrong = [f"I11: {name} was made and is not there" for name in sorted(self.made - there)]
        wrong += [f"I11: {name} was removed and is there" for name in sorted(self.gone & there)]
        metadata = client.get("/jobs/rare/metadata")
        if not self.written <= metadata.get("n", 0) <= self.asked:
            wrong.append(f"I11: {self.written} was written, {metadata} is there")
        rows = Counter(row[0] for row in daemon.rows("SELECT job_id FROM runs"))
        wrong += [
            f"I11: {name} was made to run once and has {rows[job_id]} runs"
            for name, job_id in self.soon.items()
            if rows[job_id] != 1
        ]
        return wrong


# --- the judge -------------------------------------------------------------------------------------


def judge(daemon: LiveDaemon, promises: Promises | None = None) -> None:
    """Let the daemon live once more, unharmed, and hold everything against its database.

    The daemon is left stopped.
    """
    with daemon:
        daemon.wait_for("run.ended", job="each", status="succeeded")
        broken = promises.broken(daemon) if promises is not None else []
    assert not broken, broken
    wrong = contradictions(daemon) + broken_by(daemon, promises)
    assert not wrong, wrong
    for name in EVERY_SECOND:
        assert_every_second_has_its_row(daemon, name)


def broken_by(daemon: LiveDaemon, promises: Promises | None) -> list[str]:
    """Return the findings of the simulation's checker about the database, and about runs that were over before."""
    now = wall_ms()
    before = promises.settled if promises is not None else ()
    facts = (*before, Stopped(now - 1, now - 1))
    database = daemon.state / "luad.db"
    if promises is not None:
        promises.settled = settled_in(database)
    witnessed = frozenset(
        (run_id, int(attempt)) for word, _, run_id, attempt, _ in told(daemon) if word == "started"
    )
    history = replace(history_of(database, facts, until=now), witnessed=witnessed)
    return violations(history)


def contradictions(daemon: LiveDaemon) -> list[str]:
    """Return the rows of a stopped daemon that contradict the ledger of the handlers."""
    wrong = [f"integrity: {row[0]}" for row in daemon.rows("PRAGMA integrity_check")]
    wrong = [] if wrong == ["integrity: ok"] else wrong
    rows = daemon.rows("SELECT id, job_name, state, attempt, started_at, ended_at FROM runs")
    wrong += [
        f"I4: {run_id} of {name} is {state}, and nobody works on it"
        for run_id, name, state, *_ in rows
        if state
        == "running"  # what waits, for its turn or for its retry, waits until the next start
    ]
    wrong += [
        f"I3: {job_id} has {count} rows for {at}"
        for job_id, at, count in daemon.rows(
            "SELECT job_id, occurrence, count(*) FROM runs WHERE occurrence IS NOT NULL "
            "GROUP BY 1, 2 HAVING count(*) > 1"
        )
    ]
    states = {row[0]: row[2] for row in rows}
    attempts = {row[0]: row[3] for row in rows}
    started: Counter[tuple[str, str]] = Counter()
    spans: dict[str, dict[tuple[str, str], list[int]]] = defaultdict(dict)
    for word, name, run_id, attempt, at in told(daemon):
        if word == "started":
            started[run_id, attempt] += 1
        spans[name].setdefault((run_id, attempt), []).append(int(at))
    for (run_id, attempt), count in started.items():
        if count > 1:
            wrong.append(f"I3: attempt {attempt} of {run_id} was started {count} times")
        if states.get(run_id, "skipped") in {"skipped", "missed"}:
            wrong.append(f"I6: {run_id} was started, its row is {states.get(run_id)}")
        elif int(attempt) > attempts[run_id]:
            wrong.append(f"I6: attempt {attempt} of {run_id} was started, its row knows none")
    for name, of_job in spans.items():
        alive = sorted((min(each), max(each), key) for key, each in of_job.items())
        wrong += [
            f"I8: {one} and {other} of {name} were alive at the same time"
            for (_, end, one), (start, _, other) in pairwise(alive)
            if start < end
        ]
    return wrong


def told(daemon: LiveDaemon) -> list[list[str]]:
    path = daemon.handlers / "told"
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text().splitlines()]
    return [line for line in lines if len(line) == 5]


def counts_of(daemon: LiveDaemon) -> Counter[str]:
    """How many rows are in each state: so that a test can say that it has seen something."""
    return Counter(dict(daemon.rows("SELECT state, count(*) FROM runs GROUP BY 1")))


# --- a state folder to begin from ------------------------------------------------------------------


def copy_state(state: Path, target: Path, *, names: tuple[str, ...] = ()) -> None:
    """Copy the files of a state folder, or only those of *names*."""
    target.mkdir(exist_ok=True)
    for source in state.iterdir():
        if source.is_file() and (not names or source.name in names):
            shutil.copy(source, target / source.name)


def is_sound(database: Path) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        findings: list[tuple[Any, ...]] = connection.execute("PRAGMA integrity_check").fetchall()
    return findings == [("ok",)]


__all__ = [
    "EVERY_SECOND",
    "LiveDaemon",
    "LuadError",
    "Promises",
    "UnavailableError",
    "beset",
    "copy_state",
    "counts_of",
    "is_sound",
    "job",
    "judge",
]
