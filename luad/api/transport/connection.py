"""One connection: uvicorn's HTTP/1.1 protocol, made safe against slow, idle and garbled clients.

Rule: counts and times connections; knows no route and no job.

uvicorn bounds the size of a header and leaves the rest to a proxy in front of it, which a Unix socket
does not have. Here each state of a connection has a time limit, and the listener counts it:

    idle        no request yet, or none since the last answer          idle_s     closed
    receiving   a request has begun to arrive                          receive_s  408, closed
    answering   the application has it                                 (its own limits)
    stalled     the client reads nothing of an answer                  stall_s    cut off
    lingering   closed by us, the last bytes are not fetched           idle_s     cut off
"""

from __future__ import annotations

import asyncio
import resource
import select
import socket
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import h11

from luad.api.http import api_problems
from luad.api.http.api_problems import ApiError
from luad.api.transport.client_addresses import group_of, read_address
from luad.api.transport.unix_socket import Peer, peer_of
from luad.api.transport.uvicorn_parts import FlowControl, H11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.api.transport.client_addresses import Address
    from luad.api.transport.connection_limits import ConnectionLimits, Place
    from luad.api.transport.uvicorn_parts import Config, RequestResponseCycle, ServerState

MAX_CONNECTIONS: Final = 64
"""Of the Unix socket, and of TCP as well."""

HARD_MAX_CONNECTIONS: Final = 2 * MAX_CONNECTIONS
"""Beyond this a newcomer is hung up on: not even an error answer is worth its memory."""

_SHARE: Final = 16
"""Of the descriptors that the daemon may have, one in so many is for the connections of one listener."""

MAX_HEADER_BYTES: Final = 16 * 1024


MAX_HEADERS: Final = 128

_PIECE_BYTES: Final = 1024


def affordable() -> int:
    """Return how many connections of one listener are answered at a time."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(4, descriptors // _SHARE))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection may stay in each state, in seconds."""

    idle_s: float = 10.0
    receive_s: float = 10.0
    stall_s: float = 30.0
    grace_s: float = 0.25
    """A new connection is not closed to make room: its request may be on the way."""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """The values that all connections of one listener share. *on_lost* is called after each end; *share_of* tells
    how many places the connections from the address of one client may have together."""

    new_request_id: Callable[[], str]
    on_lost: Callable[[], None]
    limits: ConnectionLimits
    share_of: Callable[[Address | None], int] = lambda _: MAX_CONNECTIONS
    timeouts: Timeouts = Timeouts()
    is_for_proxy: bool = False
    """Of a Unix socket whose clients are those of a proxy: they have the rights of clients over TCP."""


class _Phase(Enum):
    IDLE = "idle"
    RECEIVING = "receiving"
    ANSWERING = "answering"
    LINGERING = "lingering"


class _Flow(FlowControl):
    """Goes on reading only once what was read is handed on."""

    def __init__(self, transport: asyncio.Transport, unread: bytearray) -> None:
        super().__init__(transport)
        self._unread = unread

    def resume_reading(self) -> None:
        """Read again, unless something waits."""
        if self.read_paused and self._unread:
            self.read_paused = False
        else:
            super().resume_reading()


class Connection(H11Protocol):
    """See the module. *scope["state"]* of its requests holds ``peer``, ``is_tcp``, and two functions:
    ``claim`` takes a place for the request, ``hang_up`` ends the connection. A request that sets
    ``is_stream`` there may stall as long as it likes."""

    def __init__(self, config: Config, state: ServerState, settings: ListenerSettings) -> None:
        super().__init__(config, state, {})
        self._settings_for = settings
        self._phase = _Phase.ANSWERING  # no clock runs yet
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._place: Place | None = None
        self._unread = bytearray()
        self.idle_since = self.loop.time()

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrowed by uvicorn too
        """Give a newcomer a place, or turn it away."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        is_for_proxy = self._settings_for.is_for_proxy
        is_tcp = is_for_proxy or (sock is not None and sock.family != socket.AF_UNIX)
        address = read_address(self.client[0]) if is_tcp and self.client else None
        idle_before = self.loop.time() - self._settings_for.timeouts.grace_s
        share = self._settings_for.share_of(address)
        self.flow = _Flow(transport, self._unread)
        self._place = self._settings_for.limits.enter(self, group_of(address), share, idle_before)
        if self._place is None:
            self.connections.discard(self)
            transport.abort()
            return
        self.app_state = {
            "peer": Peer() if is_for_proxy else peer_of(sock),
            "is_tcp": is_tcp,
            "is_proxy_socket": is_for_proxy,
            "address": address,
            "claim": partial(self._settings_for.limits.claim, self._place),
            "hang_up": self.hang_up,
        }
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Feed the parser piece by piece; the clock of a request starts with its first byte."""
        is_waiting = bool(self._unread)
        self._unread += data
        if is_waiting:
            self.transport.pause_reading()
        else:
            self._feed()

    def _feed(self) -> None:
        """Hand on a piece of what was read. Between two of them the loop does what else is due: 256 kB
        may be one byte in each of 40,000 chunks, or the lines of 4,000 headers."""
        if not self._unread or self.transport.is_closing():
            return
        if self.conn.their_state in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR}:
            self.flow.pause_reading()  # the next request waits until this one is answered
            return
        size = len(self._unread) if self._has_plain_body() else _PIECE_BYTES
        piece = bytes(self._unread[:size])
        del self._unread[:size]
        super().data_received(piece)
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY} and not self._has_plain_body():
            lines = self.conn.trailing_data[0].count(b"\n")
            if lines > MAX_HEADERS:
                detail = f"the request has more than {MAX_HEADERS} headers"
                self._answer(ApiError("header_too_large", detail))
                return
        self._watch()
        if self._unread:
            self.transport.pause_reading()
            self.loop.call_soon(self._feed)
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def _has_plain_body(self) -> bool:
        """Return whether a body with a stated length is arriving: the parser takes it whole."""
        scope: Any = self.scope
        is_body = self.conn.their_state is h11.SEND_BODY and scope is not None
        return is_body and all(name != b"transfer-encoding" for name, _ in scope["headers"])

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn returns None: close
        """Still answer a client that only said that it has nothing more to ask (`nc -N -U`)."""
        cycle = self._open_cycle
        if cycle is None or self._is_stream() or self._has_hung_up():
            return False
        cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; uvicorn tells the application."""
        self._set_phase(_Phase.ANSWERING)
        self._stop_stall()
        if self._place is not None:
            self._settings_for.limits.leave(self._place)
        super().connection_lost(exc)
        self._settings_for.on_lost()

    def pause_writing(self) -> None:
        """The client does not keep up: an ordinary answer may stall only for a while."""
        super().pause_writing()
        if not self._is_stream():
            self._stall = self.loop.call_later(
                self._settings_for.timeouts.stall_s, self.transport.abort
            )

    def resume_writing(self) -> None:
        """The client reads again."""
        self._stop_stall()
        super().resume_writing()

    # --- what uvicorn calls ---

    def on_response_complete(self) -> None:
        """Wait for the next request, for a while."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the clocks here do its work
        self._watch()
        if self._unread:
            self.loop.call_soon(self._feed)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP with a problem document."""
        # h11 gives its reason only inside the exception that uvicorn has caught; of the two kinds
        # there are, the full buffer can be told by looking.
        if len(self.conn.trailing_data[0]) > MAX_HEADER_BYTES:
            detail = f"the request's line and headers are longer than {MAX_HEADER_BYTES} bytes"
            self._answer(ApiError("header_too_large", detail))
            return
        self._answer(ApiError("bad_request", msg, hint="luad speaks HTTP/1.1 here"))

    def shutdown(self) -> None:
        """End: at once when idle, else after the answer that is under way."""
        cycle = self._open_cycle
        if cycle is None:
            self._close()
        else:
            cycle.keep_alive = False

    # --- inside ---

    @property
    def is_idle(self) -> bool:
        """Return whether no request is being answered."""
        return self._open_cycle is None

    def hang_up(self) -> None:
        """End it at once; what was not sent is lost."""
        self.transport.abort()
        self.connections.discard(self)  # its own end comes with the loop's next round

    @property
    def _open_cycle(self) -> RequestResponseCycle | None:
        """The request that is being answered; uvicorn has None there before the first one."""
        cycle: Any = self.cycle
        return None if cycle is None or cycle.response_complete else cycle

    def _is_stream(self) -> bool:
        scope: Any = self.scope  # None before the first request
        return scope is not None and bool(scope["state"].get("is_stream"))

    def _has_hung_up(self) -> bool:
        """Return whether the client has closed both directions, not only its sending one."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def _watch(self) -> None:
        """Let the clock of the present state run."""
        if self.transport.is_closing():
            self._set_phase(_Phase.LINGERING)
        elif self.conn.their_state is h11.SEND_BODY:
            self._set_phase(_Phase.RECEIVING)
        elif self.conn.their_state is not h11.IDLE:
            self._set_phase(_Phase.ANSWERING)
        elif self.conn.trailing_data[0]:
            self._set_phase(_Phase.RECEIVING)
        else:
            self._set_phase(_Phase.IDLE)

    def _set_phase(self, phase: _Phase) -> None:
        if phase is self._phase:
            return  # a byte now and then does not grant more time
        self._phase = phase
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        timeouts = self._settings_for.timeouts
        match phase:
            case _Phase.IDLE:
                self.idle_since = self.loop.time()
                self._timer = self.loop.call_later(timeouts.idle_s, self._close)
            case _Phase.RECEIVING:
                self._timer = self.loop.call_later(timeouts.receive_s, self._give_up_receiving)
            case _Phase.LINGERING:
                self._timer = self.loop.call_later(timeouts.idle_s, self.transport.abort)
            case _Phase.ANSWERING:
                pass

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _give_up_receiving(self) -> None:
        self._answer(
            ApiError(
                "timeout", f"no whole request within {self._settings_for.timeouts.receive_s:g} s"
            )
        )

    def _close(self) -> None:
        self.transport.close()
        self._watch()

    def _answer(self, error: ApiError) -> None:
        """Answer without an application, unless an answer is under way already, and hang up."""
        cycle = self._open_cycle
        has_begun = cycle is not None and cycle.response_started
        if cycle is not None:
            cycle.disconnected = True  # its task must not write into what we say here
        if not has_begun and self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = api_problems.response(error, "", self._settings_for.new_request_id())
            headers = [*answer.raw_headers, (b"connection", b"close")]
            self._say(h11.Response(status_code=error.status, headers=headers))
            self._say(h11.Data(data=bytes(answer.body)))
            self._say(h11.EndOfMessage())
        self._close()

    def _say(self, event: Any) -> None:
        self.transport.write(self.conn.send(event) or b"")
