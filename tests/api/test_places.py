"""Places of connections: the two doors apart, shares of addresses, and requests with a token first."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from luad.api.stream_places import MAX_STREAMS, STREAMS_OF_A_TOKEN
from luad.api.transport.client_addresses import client_of, group_of, read_address
from luad.api.transport.connection import MAX_CONNECTIONS
from luad.api.transport.connection_limits import ConnectionLimits, Place

pytestmark = pytest.mark.socket

# --- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1%eth0", "2001:db8:1:2::/64"),
        ("[2001:db8::9]:443", "2001:db8::/64"),
        ("203.0.113.9:1234", "203.0.113.9"),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_an_address_is_counted_by_itself_or_by_its_network(address: str, group: str) -> None:
    assert group_of(read_address(address)) == group


PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.1", {"x-forwarded-for": "203.0.113.9"}, "192.0.2.1"),  # not a proxy
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.9"}, "203.0.113.9"),
        ("10.0.0.1", {"x-forwarded-for": "1.1.1.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"),
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.9, evil"}, "10.0.0.1"),
        ("10.0.0.1", {"forwarded": 'for="[2001:db8::1]:80";proto=https'}, "2001:db8::1"),
        ("10.0.0.1", {"forwarded": "for=1.1.1.1, for=203.0.113.9"}, "203.0.113.9"),
        ("10.0.0.1", {"forwarded": "for=_hidden"}, "10.0.0.1"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "10.0.0.7"}, "10.0.0.7"),
    ],
)
def test_a_proxy_names_the_client_and_nobody_else_does(
    peer: str, headers: dict[str, str], client: str
) -> None:
    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    assert str(client_of(read_address(peer), raw, PROXIES)) == client


# --- the limits ---------------------------------------------------------------------------------


class CountedConnection:
    def __init__(self, at: float = 0.0) -> None:
        self.is_idle = True
        self.idle_since = at
        self.is_gone = False

    def hang_up(self) -> None:
        self.is_gone = True


def test_an_address_with_its_whole_share_gives_way_itself() -> None:
    limits = ConnectionLimits(8)
    others = [
        (connection := CountedConnection(), limits.enter(connection, f"other {n}", 2, 100))
        for n in range(4)
    ]
    flood = [
        (connection := CountedConnection(n), limits.enter(connection, "flood", 2, 100))
        for n in range(500)
    ]
    assert not any(connection.is_gone for connection, _ in others)
    assert sum(not connection.is_gone for connection, _ in flood) <= 4
    late = limits.enter(CountedConnection(), "late", 2, 100)
    assert late is not None
    assert late.is_taken


def test_a_request_with_a_token_takes_the_place_of_an_idle_connection_without_one() -> None:
    limits = ConnectionLimits(4)
    denials = [
        (connection := CountedConnection(9), limits.enter(connection, f"{n}", 4, 0))
        for n in range(4)
    ]
    known = limits.enter(CountedConnection(9), "known", 4, 0)
    assert known is not None
    assert not known.is_taken
    assert not limits.claim(known)
    assert limits.claim(known, is_known=True)
    assert [connection.is_gone for connection, _ in denials].count(True) == 1
    for number in range(50):  # and keeps it, whatever number of denials comes
        limits.enter(CountedConnection(), f"late {number}", 4, 100)
    assert limits.claim(known)


class CrowdStaysWithinItsBounds(RuleBasedStateMachine):
    """Whatever comes and goes, places taken and waiting never exceed the room nor a share."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = ConnectionLimits(6)
        self.places: list[Place] = []

    @rule(group=st.sampled_from("abc"), is_idle=st.booleans(), at=st.integers(0, 9))
    def enter(self, group: str, is_idle: bool, at: int) -> None:
        connection = CountedConnection(at)
        connection.is_idle = is_idle
        place = self.limits.enter(connection, group, 3, 5)
        if place is not None:
            self.places.append(place)

    @rule(number=st.integers(0, 50), is_known=st.booleans())
    def claim(self, number: int, is_known: bool) -> None:
        if self.places:
            self.limits.claim(self.places[number % len(self.places)], is_known=is_known)

    @rule(number=st.integers(0, 50))
    def leave(self, number: int) -> None:
        if self.places:
            self.limits.leave(self.places[number % len(self.places)])

    @invariant()
    def nothing_exceeds_its_bound(self) -> None:
        there = [each for each in self.places if each in self.limits._places]
        assert len(there) == len(self.limits)
        for is_taken in (True, False):
            some = [each for each in there if each.is_taken is is_taken]
            assert len(some) <= 6
            assert all(sum(each.group == group for each in some) <= 3 for group in "abc")
        assert self.limits._taken.total() == sum(each.is_taken for each in there)
        assert self.limits._waiting.total() == sum(not each.is_taken for each in there)

    @invariant()
    def a_connection_that_is_answered_is_never_cut(self) -> None:
        assert all(each.connection.is_idle for each in self.places if each.connection.is_gone)  # type: ignore[attr-defined]


TestCrowd = pytest.mark.slow(CrowdStaysWithinItsBounds.TestCase)
TestCrowd.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- the two doors -----------------------------------------------------------------------------


@pytest.mark.slow
async def test_no_number_of_remote_connections_shuts_the_unix_socket(far: Any) -> None:
    flood = [await asyncio.to_thread(far.raw) for _ in range(4 * MAX_CONNECTIONS)]
    flood += [await asyncio.to_thread(far.raw, far.head("/v1/jobs")) for _ in range(200)]
    assert (await far.api.get("/readyz")).status == 200
    assert (await far.api.get("/v1/jobs")).status == 200
    for sock in flood:
        sock.close()


async def test_no_remote_token_makes_the_unix_socket_answer_503(far: Any) -> None:
    """Not with streams, either: of any number of tokens."""
    names = [f"t{number}" for number in range(8)]
    for name in names:
        await far.make_token(name, "admin")
    head = "/v1/events"
    flood = [await asyncio.to_thread(far.raw, far.head(head, name)) for name in names * 12]
    await asyncio.to_thread(flood[0].recv, 100)
    for path in ("/readyz", "/v1/jobs"):
        assert (await far.api.get(path)).status == 200
    stream = await far.api.stream("/v1/events")
    assert stream.response.status == 200
    for sock in flood:
        sock.close()


async def test_a_valid_token_is_answered_while_strangers_hold_all_places(far: Any) -> None:
    await far.make_token("ann")
    flood = [await asyncio.to_thread(far.raw, b"GET /v1/jobs HTTP/1.1\r\n") for _ in range(200)]
    status, _ = await far.get("/v1/jobs", "ann")
    assert status == 200
    for sock in flood:
        sock.close()


async def test_streams_of_one_token_leave_places_for_those_of_another(far: Any) -> None:
    await far.make_token("greedy")
    await far.make_token("modest")
    streams = []
    for _ in range(STREAMS_OF_A_TOKEN):
        streams.append(await asyncio.to_thread(far.raw, far.head("/v1/events", "greedy")))
        assert (await asyncio.to_thread(streams[-1].recv, 100)).startswith(b"HTTP/1.1 200")
    status, answer = await far.get("/v1/events", "greedy")
    assert (status, answer["code"]) == (503, "overloaded")
    assert "token greedy" in answer["detail"]
    other = await asyncio.to_thread(far.raw, far.head("/v1/events", "modest"))
    assert (await asyncio.to_thread(other.recv, 100)).startswith(b"HTTP/1.1 200")
    for sock in (*streams, other):
        sock.close()


async def test_streams_that_are_asked_for_at_the_same_moment_do_not_exceed_their_places(
    api: Any,
) -> None:
    """The place is taken when it is looked for, not when the first piece is sent."""
    socks = [api.raw() for _ in range(2 * MAX_STREAMS - 8)]
    for sock in socks:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
    answers = [await asyncio.to_thread(sock.recv, 100) for sock in socks]
    assert sum(each.startswith(b"HTTP/1.1 200") for each in answers) == MAX_STREAMS
    assert sum(each.startswith(b"HTTP/1.1 503") for each in answers) == MAX_STREAMS - 8


async def test_behind_a_proxy_the_forwarded_address_is_counted(behind: Any) -> None:
    """One client's streams, over connections of the proxy, leave places for another client."""
    for number in range(4):
        await behind.make_token(f"t{number}")
    share = MAX_CONNECTIONS // 4
    streams, statuses = [], []
    for number in range(share + 1):
        name = f"t{number % 4}"
        head = behind.head("/v1/events", name, X_Forwarded_For="203.0.113.9")
        streams.append(await asyncio.to_thread(behind.raw, head))
        statuses.append((await asyncio.to_thread(streams[-1].recv, 100))[9:12])
    assert statuses == [b"200"] * share + [b"503"]
    status, _ = await behind.get("/v1/jobs", "t0", X_Forwarded_For="203.0.113.10")
    assert status == 200
    status, _ = await behind.get("/healthz", X_Forwarded_For="203.0.113.9")
    assert status == 200, "requests without a token are counted apart"
    for sock in streams:
        sock.close()


async def test_a_proxys_connections_have_a_share_and_leave_the_rest(behind: Any) -> None:
    crowd_share = MAX_CONNECTIONS * 3 // 4
    flood = [await asyncio.to_thread(behind.raw) for _ in range(3 * MAX_CONNECTIONS)]
    server = behind.api.server
    taken = [each for each in server.limits[1]._places if each.is_taken]
    assert len(taken) <= crowd_share
    assert all(each.group == str(ip_address("127.0.0.1")) for each in taken)
    for sock in flood:
        sock.close()
