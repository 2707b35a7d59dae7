"""Notices of a PostgreSQL store: heard at once, also after the connection was cut."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

psycopg = pytest.importorskip("psycopg")

from luad.cluster.listener import Listener  # noqa: E402
from luad.config.settings.store_target import Target  # noqa: E402

LONG_S = 60.0


def test_notices_are_heard_and_a_cut_connection_is_told_as_something_missed(
    postgres_url: str,
) -> None:
    heard: SimpleQueue[tuple[str, str]] = SimpleQueue()
    listener = Listener(Target(postgres_url), "ann", ["one", "two"], lambda *each: heard.put(each))
    listener.start()
    try:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            assert {heard.get(timeout=LONG_S), heard.get(timeout=LONG_S)} == {
                ("one", ""),
                ("two", ""),
            }
            connection.execute("SELECT pg_notify('one', '7,9')")
            assert heard.get(timeout=LONG_S) == ("one", "7,9")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'luad ann listener'"
            )
            assert {heard.get(timeout=LONG_S), heard.get(timeout=LONG_S)} == {
                ("one", ""),
                ("two", ""),
            }
            connection.execute("SELECT pg_notify('two', 'x')")
            assert heard.get(timeout=LONG_S) == ("two", "x")
    finally:
        listener.stop()
