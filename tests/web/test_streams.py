"""Streams of browsers: their places, and what stays free for everybody else."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from support.dashboard import Visitor, dashboard
from support.live_daemon import LiveDaemon

VIEWERS = 30


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveDaemon, list[Visitor]]]:
    """Return a daemon behind a proxy on this machine, and thirty browsers of the same account."""
    daemon = dashboard(tmp_path_factory.mktemp("crowd"))
    daemon.env |= {"LUAD_TRUSTED_PROXIES": "127.0.0.1", "LUAD_ALLOWED_HOSTS": "luad.example.com"}
    with daemon:
        port = int(str(daemon.json("status")["listen"]).rpartition(":")[2])
        found = []
        for number in range(VIEWERS):
            link = str(daemon.json("web", "--role", "viewer")["url"])
            visitor = Visitor(
                link.replace("https://luad.example.com", f"http://luad.example.com:{port}")
            )
            visitor.headers = {
                "Host": "luad.example.com",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-For": f"203.0.113.{number + 1}",
            }
            found.append(visitor.sign_in())
        yield daemon, found


def stream(visitor: Visitor) -> http.client.HTTPConnection | int:
    """Return the connection of a stream of events; its status if luad refuses it."""
    connection = http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=60)
    headers = {**visitor.headers, "Cookie": visitor.cookie}
    connection.request("GET", "/v1/events?every=500ms", headers=headers)
    response = connection.getresponse()
    if response.status == 200:
        response.fp.readline()  # the stream has begun
        return connection
    response.read()
    connection.close()
    return response.status


def opened(visitor: Visitor) -> http.client.HTTPConnection:
    """Return the connection of a stream, once those that were closed are given back."""
    while isinstance(found := stream(visitor), int):
        assert found == 503
    return found


def test_thirty_viewers_leave_places_for_pages_and_for_the_terminal(
    crowd: tuple[LiveDaemon, list[Visitor]],
) -> None:
    daemon, visitors = crowd
    with ExitStack() as stack:
        found = [stream(each) for each in visitors]
        for each in found:
            if isinstance(each, http.client.HTTPConnection):
                stack.enter_context(closing(each))
        refused = [each for each in found if isinstance(each, int)]
        assert len(found) - len(refused) == 24
        assert set(refused) == {503}
        with ThreadPoolExecutor(VIEWERS) as pool:
            pages = list(pool.map(lambda each: each.ask("GET", "/jobs").status, visitors))
        assert pages == [200] * VIEWERS
        assert [daemon.luad("list").returncode for _ in range(3)] == [0, 0, 0]
        # a token of a program still gets one of the eight that are left
        secret = daemon.luad("token", "create", "tail").stdout.split()[0]
        program = visitors[0]
        program.headers["Authorization"] = f"Bearer {secret}"
        following = stream(program)
        assert isinstance(following, http.client.HTTPConnection)
        following.close()
        del program.headers["Authorization"]


def test_a_browser_that_closes_gives_its_stream_back(
    crowd: tuple[LiveDaemon, list[Visitor]],
) -> None:
    _, visitors = crowd
    for _ in range(3):
        with ExitStack() as stack:
            for each in visitors[:20]:
                stack.enter_context(closing(opened(each)))


def test_one_browser_has_eight_streams_at_most(crowd: tuple[LiveDaemon, list[Visitor]]) -> None:
    _, visitors = crowd
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(closing(opened(visitors[28])))
        assert [stream(visitors[28]) for _ in range(2)] == [503, 503]
        stack.enter_context(closing(opened(visitors[27])))  # the places are not full
