"""The admission of requests over TCP, and the roles of tokens.

A client of the Unix socket is an admin: the mode of the file decides. Over TCP a request needs a token
and a known Host; luad refuses a web page of another origin (scheme, name and port).

Rule: a role that the row of a route does not name is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any, Final

from luad.api.auth.denials import Denials
from luad.api.auth.origins import Target, check_form, headers_of, target_of
from luad.api.auth.proxy_users import Proof
from luad.api.auth.sessions import Sessions
from luad.api.auth.token_cache import SECRET_PREFIX, USE_NOTED_MS, TokenCache
from luad.api.auth.web_origin import is_same_origin
from luad.api.http.api_problems import ApiError
from luad.api.transport import connection_limits
from luad.api.transport.client_addresses import (
    Address,
    Network,
    client_of,
    group_of,
    is_among,
    read_address,
)
from luad.ip_addresses import is_loopback

if TYPE_CHECKING:
    from luad.api.auth.proxy_users import ProxyUsers
    from luad.api.service import Service
    from luad.store.api_access import Token

REASONS: Final = (
    "unauthenticated",
    "rate_limited",
    "host_not_allowed",
    "forbidden",
    "overloaded",
)
"""The usual reasons for which a client without a valid token is refused."""


HTTPS_PORT: Final = 443
_TRIES_OF_A_BROWSER: Final = 20
_PAUSE_S: Final = 0.05
_OWN_TOKEN: Final = f"Bearer {SECRET_PREFIX}"
_THIS_MACHINE: Final = IPv4Address("127.0.0.1")
_THIS_NETWORK: Final = IPv4Network("127.0.0.1")


class Role(StrEnum):
    """The role of a token. A route names the set of roles that may call it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


ADMINS: Final = frozenset({Role.ADMIN})
OPERATORS: Final = ADMINS | {Role.OPERATOR}
VIEWERS: Final = OPERATORS | {Role.VIEWER}


@dataclass(slots=True)
class Shares:
    """The number of places that one client may have, of *room*."""

    room: int
    proxies: tuple[Network, ...] = ()

    @property
    def of_client(self) -> int:
        """Return how many one address may have."""
        return max(2, self.room // 4)

    def of_connections(self, address: Address | None) -> int:
        """Return how many connections *address* may have: a proxy has many clients."""
        is_proxy = is_among(address, self.proxies)
        return max(2, self.room * 3 // 4) if is_proxy else self.of_client


@dataclass(frozen=True, slots=True)
class Place:
    """The address of the pages: *name* is the host name that sessions count for."""

    scheme: str
    name: str
    port: int
    base: str = ""

    @property
    def is_secure(self) -> bool:
        """Return whether browsers reach it encrypted."""
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """Return the address of the overview, without a slash at its end."""
        is_usual = self.is_secure and self.port == HTTPS_PORT
        return f"{self.scheme}://{self.name}" + ("" if is_usual else f":{self.port}") + self.base


@dataclass(slots=True)
class Admission:
    """Checks the requests over TCP. *hosts*: the allowed names in Host; *peers*: the allowed networks besides
    this machine, None for all; *proxies* forward the address of the client; *room*: the number of
    requests in progress; *place*: where the pages are, None without pages; *proxy_users*: those that a proxy
    has signed in."""

    service: Service
    hosts: frozenset[str] = frozenset()
    peers: tuple[Network, ...] | None = None
    proxies: tuple[Network, ...] = ()
    room: int = 64
    certificate_until: float | None = None
    place: Place | None = None
    proxy_users: ProxyUsers | None = None
    tokens: TokenCache = field(init=False)
    sessions: Sessions = field(init=False)
    denials: Denials = field(init=False)
    _visits: dict[bool, connection_limits.Shares] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = TokenCache(self.service)
        self.sessions = Sessions(self.service, self.tokens)
        self.denials = Denials(self.service)
        share = Shares(self.room).of_client
        # A client behind a proxy has no connection of its own to be counted by. Requests with a
        # valid token are counted apart: those without one cannot keep them out.
        self._visits = {
            is_known: connection_limits.Shares(self.room, share) for is_known in (False, True)
        }

    @property
    def shares(self) -> Shares:
        """Return how the places are shared out."""
        return Shares(self.room, self.proxies)

    def numbers(self) -> tuple[Mapping[str, int], float | None]:
        """Return the refusals by reason, and when the certificate in use expires."""
        counts = {reason: self.denials.counts[reason] for reason in REASONS}
        return counts | self.denials.counts, self.certificate_until

    async def admit(
        self,
        scope: Mapping[str, Any],
        roles: frozenset[Role] | None,
        *,
        takes_cookie: bool = False,
        is_form: bool = False,
    ) -> None:
        """Note the client in *scope*, and take a place for its request. *roles*: those that may send it,
        None for a public path; *takes_cookie*: the session of a browser counts; *is_form*: only from a page
        of the same origin. Raises `ApiError` (host_not_allowed, forbidden, unauthenticated, rate_limited,
        overloaded)."""
        state = scope.setdefault("state", {})  # type: ignore[attr-defined]  # ASGI's scope is a dict
        peer, proxies = self._peer(scope, state)
        headers = headers_of(scope["headers"], is_from_proxy=is_among(peer, proxies))
        client = client_of(peer, scope["headers"], proxies)
        state["client"], state["group"] = str(client or ""), group_of(client)
        self._check_client(peer)
        target = target_of(scope, headers, peer, proxies)
        self._check_host(headers, target)
        state["target"] = target
        if is_form:
            check_form(headers, target)
        user = self._proxy_user(scope, state, headers) if takes_cookie else None
        header = "" if user is not None else headers.get("authorization", "")
        cookie = target.session_secret(headers) if takes_cookie and not (header or user) else ""
        if roles is None or not (header or cookie or user):
            self._take_place(state, peer, proxies, is_known=False)
        if roles is None:
            return
        if user is None:
            await self._identify(state, header, cookie, target)
        await self._take_place_soon(state, peer, proxies)
        check_role(state, roles)

    def _peer(
        self, scope: Mapping[str, Any], state: Mapping[str, Any]
    ) -> tuple[Address | None, Sequence[Network]]:
        """Return the address of the other end, and the networks of proxies that it may be in.

        The process at the proxy's own socket has no address; it counts as a proxy on this machine.
        """
        if state.get("is_proxy_socket"):
            return _THIS_MACHINE, (*self.proxies, _THIS_NETWORK)
        peer = state.get("address") or read_address((scope.get("client") or ("",))[0])
        return peer, self.proxies

    def _proxy_user(
        self, scope: Mapping[str, Any], state: MutableMapping[str, Any], headers: Mapping[str, str]
    ) -> Token | None:
        """Note the user that the proxy names in *state*, and return the rights; None without one.

        A token of luad wins. Raises `ApiError` (forbidden, rate_limited, unauthenticated).
        """
        if self.proxy_users is None or headers.get("authorization", "").startswith(_OWN_TOKEN):
            return None
        is_proxy_socket = bool(state.get("is_proxy_socket"))
        proof = self.proxy_users.proof_of(scope["headers"], is_proxy_socket=is_proxy_socket)
        if proof is Proof.WRONG:
            self._note_wrong(state["group"])
            raise ApiError("unauthenticated", "the secret of the proxy is wrong")
        user = self.proxy_users.user_of(scope["headers"]) if proof is Proof.GOOD else None
        if user is not None:
            state["token"], state["actor"] = user, f"proxy {user.name}"
            state["user"] = user.name
        return user

    def _note_wrong(self, group: str) -> None:
        """Count a wrong secret. Raises `ApiError` (rate_limited) after too many of them."""
        if self.denials.note_wrong_token(group):
            raise ApiError(
                "rate_limited",
                "too many wrong tokens came from this address",
                hint="a valid token is answered all the same; wrong ones again in a minute",
                headers={"retry-after": "60"},
            )

    async def is_valid(self, digest: str) -> bool:
        """Return whether the token or the session of *digest* is still valid."""
        return (
            await self.tokens.valid(digest) is not None
            or await self.sessions.valid(digest) is not None
        )

    async def _identify(
        self, state: MutableMapping[str, Any], header: str, cookie: str, target: Target
    ) -> None:
        """Note in *state* the token or the session of a request. Raises `ApiError`."""
        if cookie:
            found = await self.sessions.find(cookie, target.name)
            if found is None:
                raise ApiError("unauthenticated", "this session is over", hint="sign in again")
            state["session"], state["token"] = found.session, found.token
            state["digest"] = found.session.digest
            state["actor"] = f"web {found.session.account}"
            self.sessions.note_use(found.session)
            return
        digest, token = await self._token(header, state["group"])
        state["token"], state["digest"] = token, digest
        state["actor"] = f"token {token.name}"  # the audit names refused clients too
        self._note_use(token)

    def leave(self, state: MutableMapping[str, Any]) -> None:
        """Give back what a request has taken; twice is fine."""
        visit = state.pop("visit", None)
        if visit is not None:
            self._visits[visit[0]].give_back(visit[1])

    def _take_place(
        self,
        state: MutableMapping[str, Any],
        peer: Address | None,
        proxies: Sequence[Network],
        *,
        is_known: bool,
    ) -> None:
        """Take a place for a request, of the connection and behind a proxy of the client's share."""
        claim = state.get("claim")
        if claim is not None and not claim(is_known=is_known):
            raise overloaded()
        if is_among(peer, proxies):
            if not self._visits[is_known].take(state["group"]):
                raise overloaded()
            state["visit"] = (is_known, state["group"])

    async def _take_place_soon(
        self, state: MutableMapping[str, Any], peer: Address | None, proxies: Sequence[Network]
    ) -> None:
        """Take a place for a request with a token or a session. A browser waits for one, for a while.

        Many open pages ask at the same moment, when something has changed.
        """
        tries = _TRIES_OF_A_BROWSER if "session" in state or "user" in state else 1
        for _ in range(tries - 1):
            try:
                return self._take_place(state, peer, proxies, is_known=True)
            except ApiError:
                await asyncio.sleep(_PAUSE_S)
        return self._take_place(state, peer, proxies, is_known=True)

    def _note_use(self, token: Token) -> None:
        now = self.service.clock.now().wall
        if token.last_used_at is None or now - token.last_used_at >= USE_NOTED_MS:
            self.tokens.note_use(token, now)

    def _check_client(self, address: Address | None) -> None:
        """Refuse a client that bypasses the proxy that does the TLS: its token is not encrypted."""
        if self.peers is None or address is None:
            return
        if not is_loopback(address) and not is_among(address, self.peers):
            raise ApiError(
                "forbidden",
                f"{address} is not in `trusted_proxies`, and this connection is not encrypted",
                hint="use the proxy, and revoke the token that you have just sent",
            )

    def _check_host(self, headers: Mapping[str, str], target: Target) -> None:
        if target.name not in self.hosts:
            raise ApiError(
                "host_not_allowed",
                "the request's Host is not one of luad's",
                hint="allowed_hosts in luad.yaml names more",
            )
        origin = headers.get("origin")
        host = headers.get("host", "")
        if origin is not None and not is_same_origin(origin, target.scheme, host):
            raise ApiError("forbidden", "requests from web pages of other origins are not answered")

    async def _token(self, header: str, group: str) -> tuple[str, Token]:
        kind, _, secret = header.partition(" ")
        found = await self.tokens.find(secret.strip()) if kind.lower() == "bearer" else None
        if found is not None:
            return found
        if header:
            self._note_wrong(group)
        raise ApiError(
            "unauthenticated",
            "a valid token is needed",
            hint="luad token create NAME makes one; send it as  Authorization: Bearer luad_…",
            headers={"www-authenticate": 'Bearer realm="luad"'},
        )


def check_role(state: Mapping[str, Any], roles: frozenset[Role]) -> None:
    """Refuse a request over TCP whose token lacks *roles*. Raises `ApiError` (forbidden)."""
    token: Token | None = state.get("token")
    if token is not None and token.role not in roles:
        raise _lacks_role(token, roles, is_session="session" in state)


def _lacks_role(token: Token, roles: frozenset[Role], *, is_session: bool) -> ApiError:
    least = next((role for role in Role if role in roles), Role.ADMIN)
    if is_session:
        detail = f"this session has the role {token.role}; this needs {least}"
        return ApiError("forbidden", detail, hint=f"luad web --role {least}")
    detail = f"the token `{token.name}` has the role {token.role}; this needs {least}"
    return ApiError("forbidden", detail, hint=f"luad token create NAME --role {least}")


def overloaded() -> ApiError:
    """Return the error for a request that finds all places taken."""
    return ApiError(
        "overloaded",
        "too many connections are open",
        hint="try again in a moment",
        headers={"connection": "close", "retry-after": "1"},
    )


def hosts_for(host: str, allowed: Sequence[str]) -> frozenset[str]:
    """Return the names that requests to *host* may be for."""
    own = f"[{host}]" if ":" in host else host
    return frozenset({own.lower(), "localhost", "127.0.0.1", "[::1]", *map(str.lower, allowed)})
