"""The sessions of browsers: how one begins, what it may, and when it ends.

A session begins with a code of `luad web`, or with a token. Its secret is in a cookie. It ends after 12 hours
without a request, after 7 days, with its token, or by "sign out".

Rule: a session counts for one host name only, because browsers send a cookie to all ports of a host.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from luad.api.auth.fresh_rows import FreshRows
from luad.api.auth.token_cache import USE_NOTED_MS, TokenCache, digest_of
from luad.core.model import DAY, HOUR, SECOND
from luad.store.api_access import Token
from luad.store.web_access import SignInCode, WebSession

if TYPE_CHECKING:
    from luad.api.service import Service
    from luad.core.model import Instant

IDLE_MS: Final = 12 * HOUR
LONGEST_MS: Final = 7 * DAY
CODE_MS: Final = 60 * SECOND
SECURE_COOKIE: Final = "__Host-luad"
"""The cookie of a session over TLS; on plain loopback its name has the port in place of `__Host`."""

_AGENT_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A valid session. *token*: the rights of it, in the form that the routes know."""

    session: WebSession
    token: Token


@dataclass(slots=True)
class Sessions:
    """The sessions of *service*'s store."""

    service: Service
    tokens: TokenCache
    _rows: FreshRows[WebSession] = field(init=False)

    def __post_init__(self) -> None:
        self._rows = FreshRows(self._read)

    async def find(self, secret: str, host: str) -> SignedIn | None:
        """Return the session of a cookie that was sent to *host*; None when it is not valid now."""
        found = await self.valid(digest_of(secret))
        return found if found is not None and found.session.host == host else None

    async def valid(self, digest: str) -> SignedIn | None:
        """Return the session of a secret with that digest; None when it is not valid now."""
        session = await self._rows.get(digest)
        return None if session is None else await self._if_valid(session)

    async def _if_valid(self, session: WebSession) -> SignedIn | None:
        now = self.service.clock.now().wall
        if now >= min(session.expires_at, session.seen_at + IDLE_MS):
            return None
        role = session.role
        if session.token_digest:
            token = await self.tokens.valid(session.token_digest)
            if token is None:
                return None
            role = token.role
        rights = Token(
            session.account, role, session.digest, session.created_at, expires_at=session.expires_at
        )
        return SignedIn(session, rights)

    async def known(self) -> list[SignedIn]:
        """Return the sessions that are valid now, the most recently used first."""
        found = [await self._if_valid(each) for each in await self.service.store.web.sessions()]
        return [each for each in found if each is not None]

    def note_use(self, session: WebSession) -> None:
        """Write down, soon, that *session* was used."""
        now = self.service.clock.now().wall
        if now - session.seen_at >= USE_NOTED_MS:
            self._rows.put(session.digest, replace(session, seen_at=now))
            self.service.store.web.note_seen(session.digest, now)

    async def begin(
        self,
        account: str,
        role: str,
        host: str,
        *,
        lifetime_ms: int = LONGEST_MS,
        token_digest: str = "",
        agent: str = "",
    ) -> str:
        """Store a new session, and return its secret."""
        secret = secrets.token_urlsafe(32)
        now = self.service.clock.now().wall
        session = WebSession(
            digest_of(secret),
            account,
            role,
            host,
            now,
            now,
            now + lifetime_ms,
            token_digest,
            agent[:_AGENT_LENGTH],
        )
        await self.service.store.web.add_session(session)
        self._rows.forget()
        return secret

    async def end(self, session: WebSession, *, everywhere: bool) -> None:
        """End *session*, or all sessions of its account."""
        if everywhere:
            await self.service.store.web.end_sessions_of(session.account)
        else:
            await self.service.store.web.end_session(session.digest)
        self._rows.forget()

    async def make_code(self, account: str, role: str, host: str, lifetime_ms: int) -> str:
        """Store a new code for one session, and return it."""
        code = secrets.token_urlsafe(24)
        now: Instant = self.service.clock.now().wall
        row = SignInCode(digest_of(code), account, role, host, now, now + CODE_MS, lifetime_ms)
        await self.service.store.web.add_code(row)
        return code

    async def take_code(self, code: str) -> SignInCode | None:
        """Use up a code, and return what it is for; None when it is unknown, used or expired."""
        now = self.service.clock.now().wall
        return await self.service.store.web.take_code(digest_of(code), now)

    async def peek_code(self, code: str) -> SignInCode | None:
        """Return what a code is for, without using it."""
        now = self.service.clock.now().wall
        return await self.service.store.web.peek_code(digest_of(code), now)

    async def _read(self) -> dict[str, WebSession]:
        found = await self.service.store.web.sessions()
        return {each.digest: each for each in found}
