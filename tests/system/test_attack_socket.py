"""Clients of every bad kind at the socket, while a job wants to be on time."""

from __future__ import annotations

import os
import random  # noqa: TID251 - garbage; the seed is fixed
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from support.attack import assert_on_time, besieged, job
from support.cost import turn_s
from support.live_daemon import LiveDaemon

TALK = """
def talk(job):
    for number in range(3_000):
        print("x" * 900, number)
"""
RESET = struct.pack("ii", 1, 0)


def call(daemon: LiveDaemon, *pieces: bytes) -> socket.socket:
    """Connect and send *pieces*, as far as they are taken."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(2)
    with suppress(OSError):
        client.connect(str(daemon.socket))
        for piece in pieces:
            client.sendall(piece)
    return client


@contextmanager
def horde(daemon: LiveDaemon, count: int, *pieces: bytes) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(call(daemon, *pieces))
        yield


def assert_answers(daemon: LiveDaemon) -> None:
    """It answers, if not at once: who has only just come is not hung up on."""
    for _ in range(20):
        if daemon.luad("status", check=False).returncode == 0:
            return
    raise AssertionError(daemon.luad("status", check=False))


def test_no_client_makes_runs_late(tmp_path: Path) -> None:
    dice = random.Random(3)  # noqa: S311 - garbage, not secrets
    daemon = besieged(tmp_path)
    daemon.write_handler("talk", TALK)
    daemon.write_job("talk", job("talk", "talk:talk", 2))
    follow = b"GET /v1/logs?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        with horde(daemon, 10, follow):  # and never read
            with horde(daemon, 500):
                assert_answers(daemon)
            with horde(daemon, 60, b"GET /v1/status HTTP/1.1\r\nX: "):
                assert_answers(daemon)
            body = (
                b"POST /v1/config/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n"
            )
            with horde(daemon, 5, body, *[bytes(65_536)] * 50):
                assert_answers(daemon)
            for _ in range(200):
                call(daemon, dice.randbytes(dice.randrange(1, 5_000))).close()
            with horde(daemon, 20, b"GET /v1/status HTTP/1.1\r\nX: " + b"a" * 200_000):
                assert_answers(daemon)
            with horde(daemon, 3, b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000):
                assert_answers(daemon)
            for _ in range(100):
                client = call(daemon, b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n")
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
            daemon.wait_for("run.ended", job="talk")
        assert_answers(daemon)
        daemon.wait_for("run.ended", job="tick")
        assert daemon.json("status")["status"] == "ok"
        assert_on_time(daemon, most_ms=1_500)


def processor_seconds(daemon: LiveDaemon) -> float:
    """Return the processor time of the daemon without its runs."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_with_few_descriptors_clients_take_none_from_runs(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    daemon.launcher = ("prlimit", "--nofile=64:64")
    for number in range(10):
        daemon.write_job(f"other-{number}", job(f"other-{number}"))
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        with horde(daemon, 200):
            daemon.wait_for("run.ended", job="tick", status="succeeded")
            before = processor_seconds(daemon)
            daemon.wait_for("run.ended", job="tick", status="succeeded")
            daemon.wait_for("run.ended", job="tick", status="succeeded")
            spent = processor_seconds(daemon) - before
            assert spent / turn_s() < 1_000, "it waits, it does not try for ever"
        assert_answers(daemon)
        assert len([line for line in daemon.lines if line["event"] == "library.message"]) < 10
        assert_on_time(daemon, most_ms=1_500)
