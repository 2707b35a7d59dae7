"""Addresses of clients: the group of an address, and the client behind a proxy.

Rule: pure; knows headers and networks, no connection.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_SITE_BITS: Final = 64
"""One customer of a provider has a whole IPv6 network of this size."""

_MOST_HOPS: Final = 16
_FORWARDED_FOR: Final = b"x-forwarded-for"
_FORWARDED: Final = b"forwarded"


def read_address(text: str) -> Address | None:
    """Return the address that *text* names, with or without a port; None for anything else."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def group_of(address: Address | None) -> str:
    """Return the name under which *address* is counted: an IPv4 address, or an IPv6 /64."""
    match address:
        case None:
            return ""
        case IPv4Address():
            return str(address)
        case IPv6Address():
            return str(IPv6Network((int(address), _SITE_BITS), strict=False))


def is_among(address: Address | None, networks: Iterable[Network]) -> bool:
    """Return whether *address* is in one of *networks*."""
    return address is not None and any(address in each for each in networks)


def client_of(
    peer: Address | None, headers: Sequence[tuple[bytes, bytes]], proxies: Sequence[Network]
) -> Address | None:
    """Return the client of a request: *peer*, or the one that a proxy names.

    A proxy appends the address that it sees, so the list is read from its end; the first address
    that is not a proxy's own is the client's. What a client has written itself stands before that.
    """
    if not is_among(peer, proxies):
        return peer
    found = peer
    for text in reversed(_hops(headers)[-_MOST_HOPS:]):
        address = read_address(text)
        if address is None:
            return found
        found = address
        if not is_among(address, proxies):
            return found
    return found


def _hops(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Return the addresses of the header that proxies write, the nearest one last."""
    texts = [value.decode("latin-1") for key, value in headers if key == _FORWARDED_FOR]
    if texts:
        return ",".join(texts).split(",")
    texts = [value.decode("latin-1") for key, value in headers if key == _FORWARDED]
    return [_for_of(each) for each in ",".join(texts).split(",")] if texts else []


def _for_of(element: str) -> str:
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value
    return ""
