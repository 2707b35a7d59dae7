"""A message as an HTTP POST, to where its receiver says and nowhere else.

The name is looked up once, and the address that was judged is the one that is connected to; so a name that
means another machine a moment later leads nowhere. Proxies of the environment are not asked.

Room rule: one exchange, bounded in time and size.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from luad.clock import elapsed_ms

MAX_BODY: Final = 256 * 1024
MAX_ANSWER: Final = 64 * 1024
MAX_REDIRECTS: Final = 3
_AGAIN: Final = frozenset({307, 308})
_SHOWN: Final = 200
_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class WebhookError(Exception):
    """It did not arrive; the message says why."""


@dataclass(frozen=True, slots=True)
class Post:
    """What to post where. *allow_private*: this machine and private networks may be reached."""

    url: str
    headers: dict[str, str]
    body: bytes
    timeout_ms: int
    allow_private: bool = False


def send(post: Post) -> str:
    """Post it, and return what was answered, in short. Raises `WebhookError`."""
    if len(post.body) > MAX_BODY:
        raise WebhookError(f"the message has {len(post.body)} bytes; a webhook takes {MAX_BODY}")
    deadline = elapsed_ms() + post.timeout_ms
    url = post.url
    for _ in range(MAX_REDIRECTS + 1):
        parts = _parts(url)
        status, reason, text, location = _exchange(parts, post, deadline)
        if status not in _AGAIN or not location:
            break
        url = urljoin(url, location)
        if _place(_parts(url)) != _place(parts):
            raise WebhookError(f"answered {status}: a redirect to another host is not followed")
    else:
        raise WebhookError(f"more than {MAX_REDIRECTS} redirects")
    shown = f"{status} {reason}".strip()
    if not 200 <= status < 300:
        raise WebhookError(f"answered {shown}: {text}" if text else f"answered {shown}")
    return shown


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookError("the address cannot be read") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise WebhookError("the address is not one of http or https")
    return parts


def _place(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _exchange(parts: SplitResult, post: Post, deadline: int) -> tuple[int, str, str, str | None]:
    address = _address(parts, allow_private=post.allow_private)
    connection = _Connection(parts, address, deadline)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    try:
        connection.request("POST", target, post.body, post.headers)
        response = connection.getresponse()
        text = _read(connection, response, deadline)
    except TimeoutError:
        raise WebhookError(f"no answer within {post.timeout_ms / 1_000:g} s") from None
    except ssl.SSLError as error:
        raise WebhookError(f"TLS failed: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise WebhookError(f"the connection failed: {reason}") from None
    finally:
        connection.close()
    return response.status, response.reason, text, response.getheader("location")


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was judged; the name is for the other side only."""

    def __init__(self, parts: SplitResult, address: tuple[str, int], deadline: int) -> None:
        super().__init__(parts.hostname or "", parts.port or _PORTS[parts.scheme])
        self._is_secure = parts.scheme == "https"
        self._address = address
        self._deadline = deadline
        self.default_port = _PORTS[parts.scheme]  # what the Host header omits

    def connect(self) -> None:
        """Connect, and shake hands where that is due."""
        self.sock = socket.create_connection(self._address, _left(self._deadline))
        if self._is_secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
        self.sock.settimeout(_left(self._deadline))


def _read(connection: _Connection, response: http.client.HTTPResponse, deadline: int) -> str:
    """Read as much of the answer as is shown; the rest is nobody's concern."""
    data = b""
    while len(data) < MAX_ANSWER and not response.isclosed():
        if connection.sock is not None:
            connection.sock.settimeout(_left(deadline))
        piece = response.read1(4_096)
        if not piece:
            break
        data += piece
    text = data[: 4 * _SHOWN].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()[:_SHOWN]


def _left(deadline: int) -> float:
    left = deadline - elapsed_ms()
    if left <= 0:
        raise TimeoutError
    return left / 1_000


def _address(parts: SplitResult, *, allow_private: bool) -> tuple[str, int]:
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such name"
        raise WebhookError(f"the host cannot be found: {reason}") from None
    addresses = [str(each[4][0]) for each in found]
    if not allow_private:
        for each in addresses:
            if not is_public(each):
                raise WebhookError(
                    f"{each} is no public address; `allow_private: true` lets a webhook reach it"
                )
    return addresses[0], port


def is_public(address: str) -> bool:
    """Say whether an address belongs to somebody on the internet, in every way it can be written."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast
