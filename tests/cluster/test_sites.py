"""Which files are in force: nodes whose files differ, while one of them changes, starts or comes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

pytest.importorskip("procrastinate")

from cluster.real_nodes import wait_until
from cluster.serving import COUNT, JOB, Nodes, seen
from postgres import database_url

from luad.cluster.sites import MAIN
from luad.store.postgresql.session import LockKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ADDED = JOB.format(name="added")
HAS_ADDED = "SELECT count(*) FROM jobs WHERE name = 'added'"


@pytest.fixture
def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    found = Nodes(tmp_path, database_url(f"sites_{os.getpid()}_{abs(hash(request.node.name))}"))
    try:
        yield found
    finally:
        found.end()


def test_no_shard_gets_changed_files_before_they_are_in_force(nodes: Nodes) -> None:
    """Else a node with the older files could take the shard, and remove what is new."""
    nodes.start("ann")
    space = int(nodes.one("SELECT value FROM meta WHERE key = 'lock_space'")) + LockKind.SITE
    with psycopg.connect(nodes.url) as other:  # another node publishes, and is slow
        other.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (space, MAIN))
        nodes.daemons["ann"].write_job("added", ADDED)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        wait_until(lambda: bool(nodes.one(waiting)))
        nodes.goes_on()
        assert nodes.one(HAS_ADDED) == 0
    wait_until(lambda: bool(nodes.one(HAS_ADDED)))
    nodes.goes_on()
    assert nodes.one("SELECT count(*) FROM jobs") == COUNT + 2


def test_a_reload_tells_what_changes_on_all_nodes_and_which_have_other_files(nodes: Nodes) -> None:
    nodes.start("ann", "bob", LUAD_WATCH="no")
    ann, bob = nodes.daemons["ann"], nodes.daemons["bob"]
    wait_until(lambda: nodes.owners() == {"ann", "bob"})
    names = [f"more-{number}" for number in range(10)]  # each node decides for some of them
    for daemon in (ann, bob):
        for name in names:
            daemon.write_job(name, JOB.format(name=name))
    told = ann.luad("reload")
    assert [line for line in told.stdout.splitlines() if line[0] == "+"] == [
        f"+ {n}" for n in names
    ]
    assert f"{len(names)} added, {COUNT + 1} kept" in told.stderr
    assert "these nodes have other files: bob" in told.stderr
    added = "FROM jobs JOIN shards USING (shard) WHERE starts_with(name, 'more-')"
    assert nodes.ask(f"SELECT DISTINCT owner {added}") == [("ann",)]
    again = bob.json("reload")  # the jobs of bob's own shards are what is left
    assert again["in_force"] is True
    assert again["nodes_behind"] == []
    assert nodes.one(f"SELECT count(*) {added}") == len(names)

    (bob.jobs / "more-1.yaml").unlink()
    last = bob.json("reload")
    assert (last["removed"], last["nodes_behind"]) == (["more-1"], ["ann"]), "whoever owns it"


def test_a_node_with_older_files_waits_until_every_node_has_them(nodes: Nodes) -> None:
    """A restart with old files changes nothing; a rollback is in force once the last node has restarted."""
    nodes.start("ann", "bob")
    ann, bob = nodes.daemons["ann"], nodes.daemons["bob"]
    assert bob.stop() == 0
    ann.write_job("added", ADDED)
    wait_until(lambda: bool(nodes.one(HAS_ADDED)))
    bob.start()
    assert "files.behind" in {line["event"] for line in bob.lines}
    assert seen(ann, "status") == {"ann": "active", "bob": "behind"}
    assert nodes.owners() == {"ann"}
    told = bob.luad("reload", check=False)
    assert told.returncode == 1
    assert "other nodes have newer files, so nothing changes" in told.stderr
    nodes.goes_on()
    assert nodes.one(HAS_ADDED) == 1

    ann.kill()
    (ann.jobs / "added.yaml").unlink()
    ann.start()
    wait_until(lambda: nodes.owners() == {"ann", "bob"})
    wait_until(lambda: nodes.one(HAS_ADDED) == 0)
    nodes.goes_on()
    nodes.check_books()


def test_an_administrator_puts_the_files_of_a_node_that_is_behind_in_force(nodes: Nodes) -> None:
    nodes.start("ann", "bob")
    ann, bob = nodes.daemons["ann"], nodes.daemons["bob"]
    assert bob.stop() == 0
    ann.write_job("added", ADDED)
    wait_until(lambda: bool(nodes.one(HAS_ADDED)))
    bob.start()
    assert seen(ann, "status") == {"ann": "active", "bob": "behind"}
    published = bob.json("reload", "--publish")
    assert (published["in_force"], published["nodes_behind"]) == (True, ["ann"])
    wait_until(lambda: nodes.owners() == {"bob"})
    wait_until(lambda: nodes.one(HAS_ADDED) == 0)
    (ann.jobs / "added.yaml").unlink()
    wait_until(lambda: nodes.owners() == {"ann", "bob"})
    nodes.goes_on()
    nodes.check_books()


def test_the_newest_change_of_nodes_that_differ_counts_and_they_do_not_fight(nodes: Nodes) -> None:
    nodes.start("ann", "bob")
    ann, bob = nodes.daemons["ann"], nodes.daemons["bob"]
    wait_until(lambda: nodes.owners() == {"ann", "bob"})
    generation = "SELECT generation FROM sites"
    first = nodes.one(generation)
    ann.write_job("added", ADDED)
    wait_until(lambda: nodes.one(generation) == first + 1)
    bob.write_job("other", JOB.format(name="other"))  # it has not seen the change of ann
    wait_until(lambda: nodes.one(generation) == first + 2)
    ann.wait_for("files.behind")
    wait_until(lambda: nodes.owners() == {"bob"})
    wait_until(lambda: nodes.one(HAS_ADDED) == 0)
    assert nodes.one("SELECT count(*) FROM jobs WHERE name = 'other'") == 1
    ann.write_job("third", JOB.format(name="third"))  # a node that is behind changes nothing
    nodes.goes_on()
    assert nodes.one(generation) == first + 2
    assert nodes.one("SELECT count(*) FROM jobs") == COUNT + 2


def test_a_broken_file_and_a_folder_that_is_gone_take_nothing_away(nodes: Nodes) -> None:
    nodes.start("ann", "bob")
    ann = nodes.daemons["ann"]
    in_force = nodes.ask("SELECT digest, generation FROM sites")
    names = nodes.ask("SELECT name FROM jobs ORDER BY name")
    ann.write_job("job-1", "name: job-1\nhandler: [")
    ann.wait_for("config.problem")
    ann.jobs.rename(ann.folder / "unmounted")
    ann.luad("reload", check=False)
    nodes.goes_on()
    assert nodes.ask("SELECT digest, generation FROM sites") == in_force
    assert nodes.ask("SELECT name FROM jobs ORDER BY name") == names
    assert set(seen(ann, "status").values()) == {"active"}
