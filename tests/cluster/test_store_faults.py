"""Faults of the store that nodes share: outages, failover, other schemas, many rows, and the mail of dead nodes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

pytest.importorskip("procrastinate")

import postgres
from cluster.real_nodes import Cluster, wait_until
from cluster.serving import JOB, Nodes
from postgres import database_url, own_server
from support.live_daemon import START_S, LiveDaemon

from luad.cluster.inbox import body_of
from luad.cluster.turns import MOST_ROWS
from luad.config.settings.store_target import Target
from luad.core.events import AttemptEnded
from luad.core.model import Ending, EndKind
from luad.store.postgresql.check import Level, check_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WINDOW = JOB.format(name="window") + "catch_up_window: 2s\n"
MISSED = "SELECT sum(skip_count) FROM runs WHERE job_name = 'window' AND reason = 'downtime'"


@pytest.fixture
def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    found = Nodes(tmp_path, database_url(f"faults_{os.getpid()}_{abs(hash(request.node.name))}"))
    try:
        yield found
    finally:
        found.end()


def test_what_was_due_in_a_long_outage_is_one_row_with_a_count(tmp_path: Path) -> None:
    with own_server() as server:
        nodes = Nodes(tmp_path, server.url)
        try:
            nodes.start("ann")
            ann = nodes.daemons["ann"]
            ann.write_job("window", WINDOW)
            done = "SELECT count(*) FROM runs WHERE job_name = 'window' AND state = 'succeeded'"
            wait_until(lambda: nodes.one(done) >= 2)
            nodes.connection.close()
            server.stop("immediate")
            ann.wait_for("store.unavailable")
            threading.Event().wait(4)  # longer than the window
            server.start()
            ann.wait_for("store.recovered")
            nodes.connection = psycopg.connect(server.url, autocommit=True)
            wait_until(lambda: (nodes.one(MISSED) or 0) >= 2)
            nodes.goes_on()
            nodes.check_books()
        finally:
            nodes.end()


@pytest.mark.skipif(
    postgres.GIVEN == "none" or not (postgres._programs() / "pg_basebackup").exists(),
    reason="pg_basebackup is not installed",
)
def test_nodes_go_on_after_a_failover_to_a_synchronous_standby(tmp_path: Path) -> None:
    """Whoever promotes the standby has ended the primary before: luad cannot."""
    with own_server() as primary:
        tell(primary, "fsync = on")
        asynchronous = "no synchronous standby: after a failover, the last commits may be gone"
        wait_until(lambda: level(primary, "commits") == (Level.WARNING, asynchronous))
        with own_server(of=primary) as standby:
            assert level(standby, "standby")[0] is Level.BAD
            tell(primary, "synchronous_standby_names = '*'")
            wait_until(lambda: level(primary, "commits")[0] is Level.GOOD)
            fail_over(tmp_path, primary, standby)


def level(server: postgres.Server, what: str) -> tuple[Level, str]:
    """What `luad store check` says about *what*."""
    found = {each.what: (each.level, each.words) for each in check_store(Target.parse(server.url))}
    return found[what]


def tell(server: postgres.Server, setting: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"ALTER SYSTEM SET {setting}".encode())
        admin.execute("SELECT pg_reload_conf()")


def fail_over(folder: Path, primary: postgres.Server, standby: postgres.Server) -> None:
    both = primary.url.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")
    nodes = Nodes(folder, both)
    try:
        nodes.start("ann", "bob")
        nodes.goes_on()
        nodes.connection.close()
        primary.stop("immediate")
        for daemon in nodes.daemons.values():
            daemon.wait_for("store.unavailable")
        standby.promote()
        nodes.connection = psycopg.connect(standby.url, autocommit=True)
        wait_until(lambda: nodes.owners() == {"ann", "bob"})
        nodes.goes_on()
        nodes.check_books()
    finally:
        nodes.end()


def test_a_newer_schema_lets_older_nodes_go_on_only_if_it_says_so(nodes: Nodes) -> None:
    nodes.start("ann")
    nodes.connection.execute("UPDATE alembic_version SET version_num = '9999'")
    nodes.start("bob")
    wait_until(lambda: nodes.owners() == {"ann", "bob"})
    nodes.connection.execute("UPDATE meta SET value = '9999' WHERE key = 'compatible_from'")
    cid = LiveDaemon(nodes.folder / "cid", env={"LUAD_STORE": nodes.url, "LUAD_NODE": "cid"})
    cid.complaints = nodes.folder / "cid.err"
    cid.start(wait=False)
    assert cid.process.wait(START_S) == 78
    assert "a newer luad" in cid.complaints.read_text()
    nodes.goes_on()
    assert nodes.owners() == {"ann", "bob"}


def test_an_inbox_that_has_grown_is_taken_oldest_first_in_portions(tmp_path: Path) -> None:
    cluster = Cluster(database_url(f"grown_{os.getpid()}"), tmp_path)
    try:
        cluster.start("ann")
        wait_until(lambda: bool(cluster.nodes["ann"].events("connected")))
        wait_until(lambda: cluster.owns_all("ann"))
        cluster.do("CREATE TABLE taken (number serial, least bigint, most bigint, found bigint)")
        cluster.do(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO taken"
            " (least, most, found) SELECT min(seq), max(seq), count(*) FROM gone HAVING count(*) > 0;"
            " RETURN NULL; END $$"
        )
        cluster.do(
            "CREATE TRIGGER note AFTER DELETE ON inbox REFERENCING OLD TABLE AS gone"
            " FOR EACH STATEMENT EXECUTE FUNCTION note()"
        )
        late = body_of(AttemptEnded("run_gone", 1, Ending(EndKind.RETURNED, 1)))
        cluster.do(
            "INSERT INTO inbox (shard, kind, body_json, at)"
            " SELECT mod(n, 64), 'report', %s, 1 FROM generate_series(1, 5000) AS n",
            (late,),
        )
        wait_until(lambda: not cluster.one("SELECT count(*) FROM inbox WHERE at = 1"))
        portions = cluster.ask("SELECT least, most, found FROM taken ORDER BY number")
        assert max(found for _, _, found in portions) == MOST_ROWS
        assert all(before[1] < after[0] for before, after in pairwise(portions))
        cluster.goes_on()
        assert cluster.one("SELECT count(*) FROM inbox WHERE failed_at IS NOT NULL") == 0
    finally:
        cluster.end()


def test_mail_that_a_dead_node_was_sending_has_failed_and_that_of_others_has_not(
    nodes: Nodes,
) -> None:
    nodes.start("ann")
    nodes.connection.execute(
        "INSERT INTO nodes (name, version, schema, started_at, seen_at)"
        " VALUES ('far', '0', '', 0, extract(epoch FROM now())::bigint * 1000)"
    )
    for name, node in (("lost", "dead"), ("alive", "far"), ("young", "dead")):
        nodes.connection.execute(
            "INSERT INTO messages (id, user_id, at, kind, title, parts_json, priority)"
            " VALUES (%s, 'u', 1, 'message', 't', '[]', 'normal')",
            (name,),
        )
        age = 0 if name == "young" else 10 * 60_000
        nodes.connection.execute(
            "INSERT INTO deliveries (message_id, channel, state, started_at, error, answer, is_degraded, node)"
            " VALUES (%s, 'c', 'sending', extract(epoch FROM now())::bigint * 1000 - %s, '', '', false, %s)",
            (name, age, node),
        )
    nodes.start("bob")  # a start does what every node does now and then
    state = "SELECT message_id, state FROM deliveries ORDER BY 1"
    wait_until(lambda: dict(nodes.ask(state))["lost"] == "failed")
    assert dict(nodes.ask(state)) == {"alive": "sending", "lost": "failed", "young": "sending"}


def test_files_that_change_in_an_outage_are_in_force_after_it(tmp_path: Path) -> None:
    with own_server() as server:
        nodes = Nodes(tmp_path, server.url)
        try:
            nodes.start("ann")
            ann = nodes.daemons["ann"]
            nodes.connection.close()
            server.stop("immediate")
            ann.wait_for("store.unavailable")
            ann.write_job("added", JOB.format(name="added"))
            threading.Event().wait(2)  # it reads the file, and cannot publish it
            server.start()
            nodes.connection = psycopg.connect(server.url, autocommit=True)
            wait_until(lambda: nodes.one("SELECT count(*) FROM jobs WHERE name = 'added'") == 1)
            nodes.goes_on()
        finally:
            nodes.end()
