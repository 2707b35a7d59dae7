"""`luad serve` on one PostgreSQL store as several nodes: one row an occurrence, commands through any node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

from cluster.real_nodes import wait_until
from cluster.serving import COUNT, JOB, Nodes, seen, states
from postgres import database_url
from support.live_daemon import START_S, LiveDaemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

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
