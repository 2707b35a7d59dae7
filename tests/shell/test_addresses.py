"""Which addresses are the internet's: row by row, at the edges of each row, and in every spelling."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from luad.ip_addresses import ROWS, Row, is_loopback, is_public

NETWORKS = [(ip_network(row.network), row.is_public) for row in ROWS]
SPECIAL = [
    # (address, is public): IANA's registries, clouds' services, and what surrounds them.
    ("192.0.0.192", False),
    ("192.0.0.8", False),
    ("192.0.0.9", False),  # anycast: the nearest one, which is of the local network
    ("192.0.0.170", False),
    ("100.100.100.200", False),
    ("168.63.129.16", False),
    ("168.63.129.17", True),
    ("169.254.169.254", False),
    ("fd00:ec2::254", False),
    ("fd20:ce::254", False),
    ("192.31.196.1", True),
    ("192.175.48.1", True),
    ("192.88.99.1", False),
    ("255.255.255.255", False),
    ("0.0.0.1", False),
    ("1.1.1.1", True),
    ("2606:4700::1111", True),
    ("2001:4860:4860::8888", True),
    ("2001:1::1", False),
    ("2001:2::1", False),
    ("2001:10::1", False),
    ("2001:20::1", False),
    ("2001:3::1", True),
    ("2001:4:112::1", True),
    ("2001:200::1", True),
    ("2620:4f:8000::1", True),
    ("3ffe::1", True),
    ("3fff::1", False),
    ("3fff:1000::1", True),
    ("4000::1", False),
    ("5f00::1", False),
    ("100::1", False),
    ("100:0:0:1::1", False),
    ("::2", False),
    ("::5db8:d822", False),
    ("::ffff:0:93.184.216.34", False),
    ("64:ff9b:1::5db8:d822", False),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.network)
def test_each_row_holds_at_its_edges(row: Row) -> None:
    network, is_row_public = NETWORKS[ROWS.index(row)]
    for address in {network[0], network[-1], network[network.num_addresses // 2]}:
        narrowest = max(
            (
                each
                for each in NETWORKS
                if each[0].version == network.version and address in each[0]
            ),
            key=lambda each: each[0].prefixlen,
        )
        if narrowest[0] == network:
            assert is_public(str(address)) is is_row_public, address


@pytest.mark.parametrize(("address", "expected"), SPECIAL)
def test_addresses_with_a_meaning_of_their_own(address: str, expected: bool) -> None:
    assert is_public(address) is expected


@pytest.mark.parametrize(
    "row", [each for each in ROWS if "." in each.network and not each.is_public]
)
def test_an_address_of_ipv4_is_the_same_in_every_form_of_ipv6(row: Row) -> None:
    inner = ip_network(row.network)[1] if "/32" not in row.network else ip_network(row.network)[0]
    number, public = int(inner), int(IPv4Address("93.184.216.34"))
    teredo = IPv6Address("2001::")
    for form in (
        IPv6Address(f"::ffff:{inner}"),
        IPv6Address(f"64:ff9b::{inner}"),
        IPv6Address(f"::{inner}"),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
        IPv6Address(int(teredo) | (public << 64) | (~number & 0xFFFFFFFF)),
        IPv6Address(int(teredo) | (number << 64) | (~public & 0xFFFFFFFF)),
    ):
        assert not is_public(str(form)), form


def test_a_public_address_of_ipv4_is_public_in_the_forms_that_lead_there() -> None:
    number = int(IPv4Address("93.184.216.34"))
    assert is_public("::ffff:93.184.216.34")
    assert is_public("64:ff9b::93.184.216.34")
    assert is_public(str(IPv6Address((0x2002 << 112) | (number << 80) | 1)))


@pytest.mark.parametrize("spelling", ["0x7f.1", "127.1", "2130706433", "0177.0.0.1", "192.0.192"])
def test_what_the_resolver_makes_of_a_spelling_is_judged(spelling: str) -> None:
    found = socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM)
    assert all(not is_public(str(each[4][0])) for each in found)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:128.0.0.1", False),
        ("128.0.0.1", False),
        ("::2", False),
        ("::", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to judge
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_this_machines(address: str, expected: bool) -> None:
    assert is_loopback(ip_address(address)) is expected
