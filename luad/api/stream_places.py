"""The places of open streams: how many there may be in all, of browsers, of one client and of one address.

Each stream takes a connection as long as it lasts, so some connections must stay free for other requests.

Rule: counts; a place that was taken is given back once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from luad.api.transport.connection_limits import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luad.api.transport.client_addresses import Address

MAX_STREAMS: Final = 32
"""The number of streams over the Unix socket. TCP has as many again."""

STREAMS_OF_A_TOKEN: Final = 8
STREAMS_OF_BROWSERS: Final = 24
"""The number of streams of all browsers; programs have the rest."""

Taken = list[tuple[Shares, str]]


@dataclass
class StreamPlaces:
    """The places of one server. *connections_of*: the number of connections that an address may have."""

    connections_of: Callable[[Address | None], int]
    _near: Shares = field(default_factory=lambda: Shares(MAX_STREAMS, MAX_STREAMS))
    _far: Shares = field(default_factory=lambda: Shares(MAX_STREAMS, STREAMS_OF_A_TOKEN))
    _browsers: Shares = field(
        default_factory=lambda: Shares(STREAMS_OF_BROWSERS, STREAMS_OF_A_TOKEN)
    )
    _addresses: dict[str, Shares] = field(default_factory=dict)

    def take(self, state: Mapping[str, Any]) -> Taken | str:
        """Take a place for the client of *state*; return the places, or why there is none."""
        owner: str = state.get("actor", "")
        if not state.get("is_tcp"):
            wanted = [(self._near, owner)]
        elif _is_browser(state):
            # Two browsers of one account are two clients.
            owner = state.get("digest") or owner
            wanted = [(self._browsers, owner), (self._far, owner)]
            if not state.get("is_proxy_socket"):
                wanted.append(self._of_address(state.get("address")))
        else:
            wanted = [(self._far, owner)]
        taken: Taken = []
        for shares, name in wanted:
            if not shares.take(name):
                self.give_back(taken)
                return _reason(shares, name, str(state.get("actor", "")))
            taken.append((shares, name))
        return taken

    def _of_address(self, address: Address | None) -> tuple[Shares, str]:
        """Return the places of an address: half of its connections, so that pages load beside streams."""
        name = str(address or "")
        half = max(1, self.connections_of(address) // 2)
        return self._addresses.setdefault(name, Shares(half, half)), name

    def give_back(self, taken: Taken) -> None:
        """Give back what `take` has returned."""
        for shares, name in taken:
            shares.give_back(name)
        for address in [each for each, shares in self._addresses.items() if not len(shares)]:
            del self._addresses[address]


def _is_browser(state: Mapping[str, Any]) -> bool:
    return "session" in state or "user" in state


def _reason(shares: Shares, name: str, actor: str) -> str:
    if shares.of(name) >= shares.share:
        return (
            f"{actor or 'this socket'} has {shares.share} streams open, the most that it may have"
        )
    return f"{shares.most} streams are open, the most that luad allows"
