"""Tells public addresses and loopback addresses apart from others, by a table of luad's own.

The `ipaddress` module changes its answer between patch releases, and calls some addresses of local networks
global, such as 192.0.0.192, where a cloud keeps credentials.

Rule: pure; asks no name server. The rows follow IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Row(NamedTuple):
    """A network. *is_public*: a host on the internet may have such an address.

    Where rows overlap, the narrowest applies.
    """

    network: str
    is_public: bool
    what: str


ROWS: Final = (
    Row("0.0.0.0/0", True, "everything else"),
    Row("0.0.0.0/8", False, "this network"),
    Row("10.0.0.0/8", False, "private use"),
    Row("100.64.0.0/10", False, "shared by providers; clouds keep services there"),
    Row("127.0.0.0/8", False, "this machine"),
    Row("168.63.129.16/32", False, "services of Azure for its own machines"),
    Row("169.254.0.0/16", False, "link-local; clouds keep credentials there"),
    Row("172.16.0.0/12", False, "private use"),
    Row("192.0.0.0/24", False, "protocol assignments; a cloud keeps credentials there"),
    Row("192.0.2.0/24", False, "documentation"),
    Row("192.88.99.0/24", False, "6to4 relays (no longer in use)"),
    Row("192.168.0.0/16", False, "private use"),
    Row("198.18.0.0/15", False, "benchmarks"),
    Row("198.51.100.0/24", False, "documentation"),
    Row("203.0.113.0/24", False, "documentation"),
    Row("224.0.0.0/4", False, "multicast"),
    Row("240.0.0.0/4", False, "reserved, and broadcast"),
    Row("::/0", False, "not given out"),
    Row("2000::/3", True, "the internet"),
    Row("2001::/23", False, "protocol assignments, benchmarks, identifiers of hosts"),
    Row("2001:3::/32", True, "multicast tunnels (AMT)"),
    Row("2001:4:112::/48", True, "name servers of AS112"),
    Row("2001:db8::/32", False, "documentation"),
    Row("3fff::/20", False, "documentation"),
    Row("::1/128", False, "this machine"),
    Row("64:ff9b:1::/48", False, "local translation to IPv4"),
    Row("100::/64", False, "what is thrown away"),
    Row("5f00::/16", False, "identifiers of segments"),
    Row("fc00::/7", False, "private use; a cloud keeps credentials there"),
    Row("fe80::/10", False, "link-local"),
    Row("fec0::/10", False, "site-local (no longer in use)"),
    Row("ff00::/8", False, "multicast"),
)
"""An IPv6 address that contains an IPv4 address is judged by the latter (see `_inner`)."""

_TABLE: Final = sorted(
    ((ipaddress.ip_network(row.network), row.is_public) for row in ROWS),
    key=lambda row: row[0].prefixlen,
    reverse=True,
)
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_LAST_BYTES: Final = (_MAPPED, ipaddress.IPv6Network("64:ff9b::/96"))
_6TO4: Final = ipaddress.IPv6Network("2002::/16")
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")


def is_public(address: str) -> bool:
    """Return True if a host on the internet may have *address*, in any spelling."""
    return _is_public(ipaddress.ip_address(address.partition("%")[0]))


def is_loopback(address: Address) -> bool:
    """Return True for loopback addresses, IPv4-mapped ones included."""
    if isinstance(address, ipaddress.IPv6Address) and address in _MAPPED:
        address = _last_bytes(address)
    return any(address in network for network in _LOOPBACK)


@lru_cache(maxsize=1024)
def _is_public(ip: Address) -> bool:
    inner = _inner(ip) if isinstance(ip, ipaddress.IPv6Address) else ()
    if inner:
        return all(map(_is_public, inner))
    return next(is_row_public for network, is_row_public in _TABLE if ip in network)


def _inner(ip: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address contains."""
    if any(ip in network for network in _LAST_BYTES):
        return (_last_bytes(ip),)
    if ip in _6TO4:
        return (ipaddress.IPv4Address((int(ip) >> 80) & 0xFFFFFFFF),)
    if ip in _TEREDO:  # the server, and the client with inverted bits
        server = ipaddress.IPv4Address((int(ip) >> 64) & 0xFFFFFFFF)
        return server, ipaddress.IPv4Address(~int(ip) & 0xFFFFFFFF)
    return ()


def _last_bytes(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
