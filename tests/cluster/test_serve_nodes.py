"""`luad serve` on one PostgreSQL store as several nodes: one row an occurrence, commands through any node."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

pytest.importorskip("psycopg")

from cluster.real_nodes import wait_until
from postgres import database_url
from support.live_daemon import START_S, LiveDaemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

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


IMPATIENT = """
import sys
from luad.store.postgresql import opening
opening.NAME_WAIT_MS = 1_000
from luad.cli import main
sys.exit(main())
"""


class Impatient(LiveDaemon):
    """A daemon that waits a second for its name, not half a minute."""

    def command(self) -> list[str]:
        python, _module, _luad, *words = super().command()
        return [python, "-c", IMPATIENT, *words]


class Nodes:
    """Some nodes with the same files on one database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.daemons: dict[str, LiveDaemon] = {}
        self.connection = psycopg.connect(url, autocommit=True)

    def start(self, *names: str, has_files: bool = True) -> None:
        for name in names:
            env = {"LUAD_STORE": self.url, "LUAD_NODE": name, "LUAD_DRAIN": "0s"}
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


def has_status(daemon: LiveDaemon, run_id: str, status: str) -> bool:
    return bool(daemon.json("show", run_id)["status"] == status)


@pytest.fixture
def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    found = Nodes(tmp_path, database_url(f"serve_{os.getpid()}_{abs(hash(request.node.name))}"))
    try:
        yield found
    finally:
        found.end()


def test_three_nodes_share_the_jobs_and_take_over_those_of_a_killed_one(nodes: Nodes) -> None:
    nodes.start("ann", "bob", "cid")
    wait_until(lambda: nodes.owners() == {"ann", "bob", "cid"})
    nodes.goes_on()
    everybody = dict.fromkeys(("ann", "bob", "cid"), "active")
    wait_until(lambda: seen(nodes.daemons["ann"], "status") == everybody)
    wait_until(lambda: nodes.told("luad_nodes") == [3.0, None, None])  # one node tells it
    wait_until(lambda: sum(each or 0 for each in nodes.told("luad_shards_owned")) == 64)
    nodes.daemons["bob"].kill()
    wait_until(lambda: nodes.owners() == {"ann", "cid"})
    nodes.goes_on()
    wait_until(lambda: sum(seen(nodes.daemons["cid"], "shards").values()) == 64)
    wait_until(lambda: seen(nodes.daemons["cid"], "status")["bob"] == "gone")
    wait_until(lambda: seen(nodes.daemons["cid"], "shards")["bob"] == 0)
    nodes.check_books()


def test_a_second_node_of_a_name_is_refused_and_does_nothing(nodes: Nodes) -> None:
    nodes.start("ann")
    env = {"LUAD_STORE": nodes.url, "LUAD_NODE": "ann"}
    second = Impatient(nodes.folder / "second", env=env)
    second.complaints = nodes.folder / "second.err"
    nodes.write_files(second)
    second.start(wait=False)
    assert second.process.wait(START_S) == 8
    complaint = second.complaints.read_text()
    assert "the name `ann` is taken" in complaint
    assert "127.0.0.1" in complaint, "it says where the first one runs"
    assert nodes.one("SELECT count(*) FROM workers") == 1
    nodes.goes_on()
    nodes.check_books()


def test_commands_reach_the_owner_of_their_job_through_any_node(nodes: Nodes) -> None:
    nodes.start("ann", "bob")
    wait_until(lambda: nodes.owners() == {"ann", "bob"})
    ann, bob = nodes.daemons["ann"], nodes.daemons["bob"]
    names = [f"job-{number}" for number in range(COUNT)]
    for daemon in (ann, bob):
        wait_until(lambda each=daemon: states(each).keys() == {"hanging", *names})

    for name in names:  # some of them are ann's, the others bob's
        ann.luad("pause", name)
    wait_until(lambda: {states(bob)[name] for name in names} == {"paused"})
    for name in names:
        bob.luad("resume", name)
    wait_until(lambda: {*states(ann).values()} == {"active"})

    for asked, other in ((ann, bob), (bob, ann)):
        run_id = asked.json("run", "hanging")["id"]
        wait_until(partial(has_status, asked, run_id, "running"))
        other.luad("cancel", run_id)
        wait_until(partial(has_status, asked, run_id, "cancelled"))
        assert other.json("history", "hanging")["runs"][0]["id"] == run_id
    nodes.goes_on()
    nodes.check_books(has_pauses=True)
    assert ann.stop() == 0
    wait_until(lambda: nodes.owners() == {"bob"})
    nodes.goes_on()
    assert bob.stop() == 0
    assert nodes.one("SELECT count(*) FROM runs WHERE state = 'running'") == 0


def test_a_node_without_the_files_in_force_decides_for_nothing_until_it_has_them(
    nodes: Nodes,
) -> None:
    nodes.start("ann")
    nodes.start("bob", has_files=False)
    ann, bob = nodes.daemons["ann"], nodes.daemons["bob"]
    assert "files.behind" in {line["event"] for line in bob.lines}, "before it was ready"
    assert bob.luad("run", "job-1", "--json").returncode == 0, "it still brings requests to ann"
    nodes.goes_on()
    assert nodes.owners() == {"ann"}
    wait_until(lambda: seen(ann, "status") == {"ann": "active", "bob": "behind"})
    assert "BEHIND" in bob.luad("status").stdout
    node = ann.json("status")["node"]
    assert (node["shards"], node["free_shards"], node["behind"]) == (64, 0, False)
    nodes.write_files(bob)
    bob.wait_for("files.in_force")
    wait_until(lambda: nodes.owners() == {"ann", "bob"})
    ann.write_job("added", JOB.format(name="added"))  # newer than what bob has
    bob.wait_for("files.behind")
    wait_until(lambda: nodes.owners() == {"ann"})
    bob.write_job("added", JOB.format(name="added"))
    wait_until(lambda: nodes.owners() == {"ann", "bob"})
    wait_until(lambda: nodes.one("SELECT count(*) FROM jobs") == COUNT + 2)
    nodes.goes_on()
    nodes.check_books()
