"""The notifier against a real datagram socket."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from luad.notify import Notifier


class Manager:
    """Stands where systemd would: takes datagrams and shows their lines."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(5)

    def message(self) -> list[str]:
        return self.socket.recv(65536).decode().split("\n")

    def has_more(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(65536, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(5)
        return True


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000000"}
    notifier = Notifier(environ)
    yield notifier
    notifier.close()


def test_every_message_is_one_datagram(manager: Manager, notifier: Notifier) -> None:
    assert notifier.ready("12 jobs, 1 failing")
    assert manager.message() == ["READY=1", "STATUS=12 jobs, 1 failing"]
    assert notifier.status("13 jobs")
    assert manager.message() == ["STATUS=13 jobs"]
    assert notifier.stopping("waiting for 2 runs")
    assert manager.message() == ["STOPPING=1", "STATUS=waiting for 2 runs"]
    assert notifier.extend_timeout(5_000_000)
    assert manager.message() == ["EXTEND_TIMEOUT_USEC=5000000"]
    assert notifier.watchdog()
    assert manager.message() == ["WATCHDOG=1"]


def test_reloading_carries_its_time_in_the_same_datagram(
    manager: Manager, notifier: Notifier
) -> None:
    notifier.reloading(123_456)
    assert manager.message() == ["RELOADING=1", "MONOTONIC_USEC=123456"]


def test_a_status_cannot_smuggle_a_second_message(manager: Manager, notifier: Notifier) -> None:
    notifier.status("3 jobs\nSTOPPING=1\n\udcff")
    assert manager.message() == ["STATUS=3 jobs STOPPING=1 ?"]


def test_an_empty_status_says_nothing(manager: Manager, notifier: Notifier) -> None:
    assert not notifier.status("")
    assert not manager.has_more()


def test_an_abstract_address_is_understood() -> None:
    name = f"luad-test-{uuid.uuid4().hex}"
    manager = Manager(f"\0{name}")
    notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
    assert notifier.ready()
    assert manager.message() == ["READY=1"]
    notifier.close()
    manager.socket.close()


def test_outside_systemd_everything_is_silent() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "30000000"})
    assert not notifier.is_supervised
    assert notifier.watchdog_interval_s is None
    assert not notifier.ready("x")
    assert not notifier.watchdog()
    notifier.close()


@pytest.mark.parametrize("address", ["/nonexistent/notify", "vsock:2:1234", "relative", "@"])
def test_a_manager_that_is_not_there_is_no_error(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert not notifier.ready()
    notifier.close()
    assert not notifier.ready()


def test_a_manager_that_does_not_read_costs_a_moment_not_the_loop(
    manager: Manager, notifier: Notifier
) -> None:
    accepted = 0
    while notifier.status("x"):
        accepted += 1
    assert 0 < accepted < 10_000
    assert manager.message() == ["STATUS=x"]
    assert notifier.status("x")


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        ("30000000", "", 15.0),
        pytest.param("30000000", str(os.getpid()), 15.0, id="our own pid"),
        ("30000000", "1", None),
        ("0", "", None),
        ("soon", "", None),
        ("", "", None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_time_by_the_right_process(
    manager: Manager, tmp_path: Path, usec: str, pid: str, interval_s: float | None
) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    notifier = Notifier({**environ, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid})
    assert notifier.watchdog_interval_s == interval_s
    assert notifier.watchdog() == (interval_s is not None) == manager.has_more()
    notifier.close()
