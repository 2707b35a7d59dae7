"""Listening on TCP: only where the settings say so, beyond this machine only with TLS or a proxy.

Rule: knows addresses and certificates, no HTTP.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from luad.api.transport.certificates import Certificates
from luad.errors import UsageError
from luad.ip_addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from luad.api.transport.client_addresses import Network

BACKLOG: Final = 128


@dataclass(frozen=True, slots=True)
class ListenSpec:
    """The TCP settings. *trusted_proxies*: the proxies in front of luad that do the TLS.

    *host*: empty without TCP, where only the proxy's own socket leads to luad. *base_path*: the path below
    which the proxy serves luad.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    permits_insecure: bool = False
    proxy_socket: Path | None = None
    base_path: str = ""


def listen(spec: ListenSpec) -> socket.socket:
    """Listen on TCP. Raises `UsageError` with what to do instead."""
    shown = f"{spec.host}:{spec.port}"
    try:
        found = socket.getaddrinfo(
            spec.host, spec.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise UsageError(f"cannot listen on {shown}: {error.strerror}") from error
    family, kind, protocol, _, address = found[0]
    is_local = all(is_loopback(ipaddress.ip_address(str(each[4][0]))) for each in found)
    if not is_local and spec.certificate is None and not spec.trusted_proxies:
        raise UsageError(
            f"{shown} is beyond this machine, and tokens would go over the wire in the clear",
            hint="set tls: {certificate, key}, or trusted_proxies when a proxy in front does the TLS",
        )
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise UsageError(
            f"cannot listen on {shown}: {(error.strerror or str(error)).lower()}",
            hint="choose another port, or end the process that has it",
        ) from error
    return sock


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks that *texts* name."""
    return tuple(ipaddress.ip_network(each, strict=False) for each in texts)


def peers_of(spec: ListenSpec) -> tuple[Network, ...] | None:
    """Return the networks that may connect, besides this machine; None when any may."""
    if spec.certificate is not None or not spec.trusted_proxies:
        return None
    return networks(spec.trusted_proxies)


def certificates_of(spec: ListenSpec) -> Certificates | None:
    """Return the certificate and the key for TLS, loaded; None without TLS. Raises `UsageError`."""
    if spec.certificate is None or spec.key is None:
        return None
    found = Certificates(spec.certificate, spec.key, permits_insecure=spec.permits_insecure)
    found.load()
    return found
