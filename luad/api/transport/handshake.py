"""TLS before HTTP: who has connected and not yet shaken hands takes a place and has its time.

asyncio's own way to serve TLS makes a connection known only after its handshake, and gives that a minute:
a client that connects and says nothing would cost a descriptor each, without a bound. Here a handshake is
a connection from the start. Of more than *room* the oldest gives way: of the address that has its whole
share, else of the one that has the most.

Rule: knows TLS and no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from luad.api.transport.client_addresses import group_of, read_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.api.transport.certificates import Certificates
    from luad.api.transport.client_addresses import Address


class Handshakes:
    """Those under way, the oldest first. *build* makes what goes on after one."""

    def __init__(
        self,
        certificates: Certificates,
        build: Callable[[], asyncio.Protocol],
        *,
        room: int,
        timeout_s: float,
        share_of: Callable[[Address | None], int] | None = None,
    ) -> None:
        self.certificates = certificates
        self.build = build
        self.timeout_s = timeout_s
        self._room = room
        self._share_of = share_of or (lambda _: room)
        self._waiting: dict[Handshake, str] = {}

    def begin(self) -> Handshake:
        """Return the protocol of a connection that was just made."""
        return Handshake(self)

    def add(self, newcomer: Handshake) -> None:
        """Let the oldest give way when there are too many."""
        counts = Counter(self._waiting.values())
        group = group_of(newcomer.address)
        if counts[group] >= self._share_of(newcomer.address):
            self._give_up(self._oldest_of(group))
        elif len(self._waiting) >= self._room:
            self._give_up(self._oldest_of(max(counts, key=counts.__getitem__)))
        self._waiting[newcomer] = group

    def _oldest_of(self, group: str) -> Handshake:
        return next(each for each, its_group in self._waiting.items() if its_group == group)

    def remove(self, one: Handshake) -> None:
        """It has come to its end, well or badly."""
        self._waiting.pop(one, None)

    def close(self) -> None:
        """Hang up on all of them."""
        for each in list(self._waiting):
            self._give_up(each)

    def _give_up(self, one: Handshake) -> None:
        self._waiting.pop(one, None)
        one.give_up()


class Handshake(asyncio.Protocol):
    """One connection until TLS is up. What comes right behind the handshake is kept for what follows."""

    def __init__(self, owner: Handshakes) -> None:
        self._settings_for = owner
        self.address: Address | None = None
        self._early = bytearray()
        self._is_over = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()  # the first byte is TLS's
        peer = transport.get_extra_info("peername")
        self.address = read_address(str(peer[0])) if peer else None
        self._settings_for.add(self)
        self._task = asyncio.get_running_loop().create_task(self._upgrade(), name="api-tls")

    def data_received(self, data: bytes) -> None:
        """Keep bytes that arrive before the handshake begins."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client has closed the connection."""
        del exc
        self._is_over = True

    def give_up(self) -> None:
        """Hang up."""
        self._transport.abort()

    async def _upgrade(self) -> None:
        owner = self._settings_for
        pair = owner.certificates.pair  # what later ones begin with may be another
        assert pair is not None, "loaded before anything listens"
        secure: asyncio.Transport | None = None
        with suppress(OSError):  # time-outs, TLS's own errors and those of the line are such
            secure = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                pair.context,
                server_side=True,
                ssl_handshake_timeout=owner.timeout_s,
            )
        owner.remove(self)
        if secure is None or self._is_over:
            return
        following = owner.build()
        secure.set_protocol(following)
        following.connection_made(secure)
        if self._early:
            following.data_received(bytes(self._early))
