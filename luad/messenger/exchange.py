"""One HTTP exchange with a server whose IP address was checked first.

The name is looked up once, and luad connects to the addresses that it has checked, so a name that resolves
to another machine a moment later has no effect. Proxies of the environment are not used.

Rule: limited in time and size; its texts contain no address but a checked one.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from luad.clock import elapsed_ms
from luad.ip_addresses import is_public
from luad.messenger.mixed_text import ForeignText, MixedTextError

MAX_REDIRECTS: Final = 3
_PORTS: Final = {"http": 80, "https": 443}


class ExchangeError(MixedTextError):
    """The exchange failed; the message gives the reason."""


class SilentError(ExchangeError):
    """The server did not answer in time, so another exchange now would fail as well."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. *redirects*: the statuses of redirects that are followed.

    *may_change_host*: redirects may lead to other hosts. At most *max_answer* bytes of an answer are read.
    *allow_private*: the request may go to this machine and to private networks.
    """

    method: str
    url: str
    timeout_ms: int
    max_answer: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    redirects: frozenset[int] = frozenset()
    may_change_host: bool = False
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. *is_whole*: *data* is the complete body."""

    status: int
    reason: str
    data: bytes
    is_whole: bool
    content_type: str = ""
    location: str | None = None


def exchange(ask: Ask) -> Answer:
    """Send *ask*, follow redirects, and return the last answer. Raises `ExchangeError`."""
    deadline = elapsed_ms() + ask.timeout_ms
    url = ask.url
    for _ in range(MAX_REDIRECTS + 1):
        parts = _parts(url)
        answer = _once(parts, ask, deadline)
        if answer.status not in ask.redirects or not answer.location:
            return answer
        url = urljoin(url, answer.location)
        _check_redirect(parts, _parts(url), answer.status, may_change_host=ask.may_change_host)
    raise ExchangeError(f"more than {MAX_REDIRECTS} redirects")


def _check_redirect(
    old: SplitResult, new: SplitResult, status: int, *, may_change_host: bool
) -> None:
    if (old.scheme, new.scheme) == ("https", "http"):
        raise ExchangeError(f"answered {status}: a redirect from https to http is not followed")
    if not may_change_host and _origin(old) != _origin(new):
        raise ExchangeError(f"answered {status}: a redirect to another host is not followed")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ExchangeError("the address cannot be read") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise ExchangeError("the address is not an http or https URL")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _once(parts: SplitResult, ask: Ask, deadline: int) -> Answer:
    connection = _Connection(parts, _addresses(parts, ask), deadline)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    try:
        connection.request(ask.method, target, ask.body, _credentials(parts) | ask.headers)
        response = connection.getresponse()
        _left(deadline)  # a header line that was cut off may look complete
        data, is_whole = _read(response, ask.max_answer, deadline)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # A connection that luad closed at the deadline looks like one that failed.
        if isinstance(error, TimeoutError) or elapsed_ms() >= deadline:
            raise SilentError(f"no answer within {ask.timeout_ms / 1_000:g} s") from None
        what = "TLS failed" if isinstance(error, ssl.SSLError) else "the connection failed"
        why = getattr(error, "reason", None) or getattr(error, "strerror", None)
        raise ExchangeError(f"{what}: ", ForeignText(why or type(error).__name__)) from None
    finally:
        connection.close()
    kind, location = response.getheader("content-type", ""), response.getheader("location")
    return Answer(response.status, response.reason, data, is_whole, kind, location)


def _credentials(parts: SplitResult) -> dict[str, str]:
    """Return the header for ``user:password@`` in an address."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + b64encode(pair.encode()).decode()}


def _read(response: http.client.HTTPResponse, limit: int, deadline: int) -> tuple[bytes, bool]:
    """Return the body of an answer, and True if it is complete; it may break off."""
    data = b""
    try:
        while len(data) <= limit:
            piece = response.read1(16_384)
            if not piece:
                return data, not response.length and elapsed_ms() < deadline
            data += piece
    except (OSError, http.client.HTTPException, ValueError):
        return data, False
    return data[:limit], False


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked; only the request contains the name."""

    def __init__(self, parts: SplitResult, addresses: list[tuple[str, int]], deadline: int) -> None:
        super().__init__(parts.hostname or "", parts.port or _PORTS[parts.scheme])
        self._is_secure = parts.scheme == "https"
        self._addresses = addresses
        self._deadline = deadline
        self._line: socket.socket | None = None
        self._end: threading.Timer | None = None
        self.default_port = _PORTS[parts.scheme]  # the Host header omits it

    def connect(self) -> None:
        """Connect to the first address that accepts, with TLS for https."""
        sock = self._reach()
        # A limit for each read would let a slow server hold the connection forever, so a timer closes it.
        self._line = sock.dup()
        self._end = threading.Timer(_left(self._deadline), _cut, (self._line,))
        self._end.daemon = True
        self._end.start()
        if self._is_secure:
            context = ssl.create_default_context()
            sock = context.wrap_socket(sock, server_hostname=self.host)
        self.sock = sock

    def _reach(self) -> socket.socket:
        last: OSError | None = None
        for number, address in enumerate(self._addresses):
            try:
                limit_s = _left(self._deadline) / (len(self._addresses) - number)
                sock = socket.create_connection(address, limit_s)
            except OSError as error:
                last = error
            else:
                sock.settimeout(_left(self._deadline))
                return sock
        assert last is not None, "a name that resolves has an address"
        raise last

    def close(self) -> None:
        """Close the connection, and cancel its timer."""
        if self._end is not None:
            self._end.cancel()
        if self._line is not None:
            self._line.close()
        super().close()


def _cut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already closed
        line.shutdown(socket.SHUT_RDWR)


def _left(deadline: int) -> float:
    left = deadline - elapsed_ms()
    if left <= 0:
        raise TimeoutError
    return left / 1_000


def _addresses(parts: SplitResult, ask: Ask) -> list[tuple[str, int]]:
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such name"
        raise ExchangeError("the host cannot be found: ", ForeignText(reason)) from None
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not ask.allow_private:
        for each in addresses:
            if not is_public(each):
                raise ExchangeError(
                    f"{each} is not a public address; `allow_private: true` lets a webhook reach it"
                )
    return [(each, port) for each in addresses]
