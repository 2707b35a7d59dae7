"""The origin of a web page, compared in full with the origin of the request: scheme, name and port.

Cookies and host names ignore ports, so another port of the same host is another origin.

Rule: pure; a text that is not an origin never equals one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from luad.api.transport.client_addresses import is_among

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.api.transport.client_addresses import Address, Network

_PORTS: Final = {"http": "80", "https": "443"}
_ORIGIN: Final = re.compile(r"(https?)://([^/?#@\s]+)", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.%]+\]|[^:\[\]]+)(?::(\d{1,5}))?", re.IGNORECASE)


def is_same_origin(origin: str, scheme: str, host: str) -> bool:
    """Return whether *origin* is that of a request by *scheme* for *host*; `null` never is."""
    match = _ORIGIN.fullmatch(origin.strip())
    if match is None:
        return False
    there = _place(match[1].lower(), match[2])
    return there is not None and there == _place(scheme.lower(), host)


def scheme_of(
    scheme: str, peer: Address | None, headers: Mapping[str, str], proxies: Sequence[Network]
) -> str:
    """Return the scheme that the client used: a trusted proxy says which, for any other peer *scheme*."""
    named = headers.get("x-forwarded-proto", "").strip().lower()
    return named if named in _PORTS and is_among(peer, proxies) else scheme


def _place(scheme: str, authority: str) -> tuple[str, str, str] | None:
    """Return scheme, name and port; None for a text that is not a host with or without a port."""
    match = _AUTHORITY.fullmatch(authority.strip().lower())
    if match is None or scheme not in _PORTS:
        return None
    return scheme, match[1], (match[2] or _PORTS[scheme]).lstrip("0")
