"""Who may ask for what.

Whoever can open the Unix socket is an admin: its file's mode is the rule there. Over TCP a request needs a
token, and a Host that is meant; a web page of another origin is turned away.

Room rule: what is not named here needs the highest role, so that no route is open by being forgotten.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from luad.api.problems import ApiError

if TYPE_CHECKING:
    from luad.api.service import Service
    from luad.core.model import Instant
    from luad.store.access import Token

Network: TypeAlias = IPv4Network | IPv6Network

SECRET_PREFIX: Final = "luad_"  # noqa: S105 - what every secret begins with
OPEN: Final = frozenset({"/healthz", "/readyz", "/v1/healthz", "/v1/readyz"})
_CACHED_MS: Final = 2_000
"""How long a token is believed before the store is asked again: a revoked one is out after that."""


class Role(IntEnum):
    """What somebody may do; who may more may less."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


_READS: Final = frozenset({"GET", "HEAD"})
_OPERATOR: Final = re.compile(
    r"/v1/(jobs/[^/]+/(activate|deactivate|trigger|metadata)|runs/[^/]+/(cancel|retry)|config/reload)"
)
"""Whole paths: a job may be called `trigger`, and deleting it is another matter than triggering one."""
_ADMIN_READS: Final = ("/v1/tokens", "/v1/audit")
_VIEWER_POSTS: Final = frozenset({"/v1/explain", "/v1/config/check"})


def role_for(method: str, path: str) -> Role:
    """Return the role that a request needs. What is not known needs the highest."""
    if path.startswith(_ADMIN_READS):
        return Role.ADMIN
    if method in _READS or path in _VIEWER_POSTS:
        return Role.VIEWER
    return Role.OPERATOR if _OPERATOR.fullmatch(path) else Role.ADMIN


def new_secret() -> tuple[str, str]:
    """Return a token's secret, and the digest that is kept of it."""
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    return secret, digest_of(secret)


def digest_of(secret: str) -> str:
    """Return what is kept of a secret. It has 256 bits of chance, so one plain hash will do."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(slots=True)
class Door:
    """Decides who comes in over TCP. *hosts* are the names that requests may be for; *proxies* the only
    networks they may come from, besides this machine, None where any will do."""

    service: Service
    hosts: frozenset[str] = frozenset()
    proxies: tuple[Network, ...] | None = None
    _known: dict[str, tuple[Instant, Token | None]] = field(default_factory=dict)

    async def admit(self, scope: Mapping[str, Any]) -> None:
        """Note in *scope* who asks. Raises `ApiError` (host_not_allowed, forbidden,
        unauthenticated)."""
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        self._check_client(scope.get("client"))
        self._check_host(headers)
        if scope["path"] in OPEN:
            return
        token = await self._token(headers.get("authorization", ""))
        scope["state"]["actor"] = f"token {token.name}"  # who is refused stands in the audit, too
        needed = role_for(scope["method"], scope["path"])
        if Role[token.role.upper()] < needed:
            raise ApiError(
                "forbidden",
                f"the token `{token.name}` has the role {token.role}; this needs {needed.name.lower()}",
                hint="luad token create NAME --role " + needed.name.lower(),
            )

    def _check_client(self, client: tuple[str, int] | None) -> None:
        """Turn away who sends tokens over the wire in the clear, past the proxy that does the TLS."""
        if self.proxies is None or client is None:
            return
        address = ip_address(client[0].partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if not address.is_loopback and not any(address in each for each in self.proxies):
            raise ApiError(
                "forbidden",
                f"{address} is none of `trusted_proxies`, and this connection is not encrypted",
                hint="ask through the proxy; a token that was just sent is to be revoked",
            )

    def _check_host(self, headers: Mapping[str, str]) -> None:
        host = _name_of(headers.get("host", ""))
        if host not in self.hosts:
            raise ApiError(
                "host_not_allowed",
                "the request's Host is not one of luad's",
                hint="allowed_hosts in luad.yaml names more",
            )
        origin = headers.get("origin")
        if origin is not None and _name_of(origin.partition("://")[2]) != host:
            raise ApiError("forbidden", "requests from web pages of other hosts are not answered")

    async def _token(self, header: str) -> Token:
        kind, _, secret = header.partition(" ")
        token = await self._find(secret.strip()) if kind.lower() == "bearer" else None
        now = self.service.clock.now().wall
        if token is None or (token.expires_at is not None and token.expires_at <= now):
            raise ApiError(
                "unauthenticated",
                "a valid token is needed",
                hint="luad token create NAME makes one; send it as  Authorization: Bearer luad_…",
                headers={"www-authenticate": 'Bearer realm="luad"'},
            )
        return token

    async def _find(self, secret: str) -> Token | None:
        if not secret.startswith(SECRET_PREFIX):
            return None
        digest = digest_of(secret)
        now = self.service.clock.now().elapsed
        known = self._known.get(digest)
        if known is None or now - known[0] > _CACHED_MS:
            if len(self._known) > 1_000:
                self._known.clear()
            known = self._known[digest] = (now, await self.service.store.access.find_token(digest))
        return known[1]


def _name_of(host: str) -> str:
    """Return a Host without its port, in lower case."""
    text = host.strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def hosts_for(host: str, allowed: Sequence[str]) -> frozenset[str]:
    """Return the names that requests to *host* may be for."""
    own = f"[{host}]" if ":" in host else host
    return frozenset({own.lower(), "localhost", "127.0.0.1", "[::1]", *map(str.lower, allowed)})
