"""Sessions of browsers, and the one-use codes that start them.

Rule: only digests of secrets are stored. A session has one host name, and counts for no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from luad.core.model import Instant
from luad.errors import StoreUnavailableError
from luad.store.access_tables import sessions, sign_in_codes
from luad.store.columns import to_int, to_text
from luad.store.tables import meta
from luad.store.transactions import Transactions

MOST_SESSIONS: Final = 1_000
"""Beyond it, a new session ends the one that was used least recently."""

MOST_CODES: Final = 100
_HOST_KEY: Final = "web_host"


@dataclass(frozen=True, slots=True)
class SignInCode:
    """A code that starts one session. *account*: who asked for it; *host*: the only host that it counts for."""

    digest: str
    account: str
    role: str
    host: str
    created_at: Instant
    expires_at: Instant
    lifetime_ms: int


@dataclass(frozen=True, slots=True)
class WebSession:
    """A signed-in browser. *token_digest*: the token that it began with, and ends with; empty without one.

    *host*: the name in Host that it counts for; *agent*: what the browser calls itself.
    """

    digest: str
    account: str
    role: str
    host: str
    created_at: Instant
    seen_at: Instant
    expires_at: Instant
    token_digest: str = ""
    agent: str = ""


class WebAccess:
    """The sessions and codes of a `Store`; raises `StoreUnavailableError` as it does."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def host(self, new: str) -> str:
        """Return the random part of this store's own host name; *new* becomes it where there is none."""
        return await self._transactions.write(lambda c: _host(c, new))

    async def add_code(self, code: SignInCode) -> None:
        """Store a code, and remove those that have expired."""
        await self._transactions.write(lambda c: _add_code(c, code))

    async def take_code(self, digest: str, now: Instant) -> SignInCode | None:
        """Remove the code of *digest* and return it; None when it is unknown, used or expired."""
        return await self._transactions.write(lambda c: _take_code(c, digest, now))

    async def peek_code(self, digest: str, now: Instant) -> SignInCode | None:
        """Return the code of *digest* without using it; None when it is unknown, used or expired."""
        return await self._transactions.read(lambda c: _read_code(c, digest, now))

    async def add_session(self, session: WebSession) -> None:
        """Store a session, and remove those that are over."""
        await self._transactions.write(lambda c: _add_session(c, session))

    async def sessions(self) -> Sequence[WebSession]:
        """Return all stored sessions, the most recently used first."""
        query = select(sessions).order_by(sessions.c.seen_at.desc(), sessions.c.digest)
        return await self._transactions.read(
            lambda c: [WebSession(**row) for row in c.execute(query).mappings()]
        )

    def note_seen(self, digest: str, now: Instant) -> None:
        """Queue a write of the last use of a session, and return at once."""
        query = update(sessions).where(sessions.c.digest == digest).values(seen_at=to_int(now))
        with suppress(StoreUnavailableError):
            self._transactions.write_later(lambda c: c.execute(query))

    async def end_session(self, digest: str) -> None:
        """Remove a session."""
        query = delete(sessions).where(sessions.c.digest == digest)
        await self._transactions.write(lambda c: c.execute(query))

    async def end_sessions_of(self, account: str) -> int:
        """Remove all sessions of *account*, and return their number."""
        query = delete(sessions).where(sessions.c.account == to_text(account))
        return int(await self._transactions.write(lambda c: c.execute(query).rowcount))


# --- statements --------------------------------------------------------------------------------


def _host(connection: Connection, new: str) -> str:
    connection.execute(
        insert(meta).on_conflict_do_nothing(), {"key": _HOST_KEY, "value": to_text(new)}
    )
    query = select(meta.c.value).where(meta.c.key == _HOST_KEY)
    return str(connection.execute(query).scalar_one())


def _add_code(connection: Connection, code: SignInCode) -> None:
    expired = sign_in_codes.c.expires_at <= code.created_at
    connection.execute(delete(sign_in_codes).where(expired))
    count = connection.execute(select(func.count()).select_from(sign_in_codes)).scalar_one()
    if count >= MOST_CODES:
        oldest = select(sign_in_codes.c.digest).order_by(sign_in_codes.c.created_at).limit(1)
        connection.execute(
            delete(sign_in_codes).where(sign_in_codes.c.digest.in_(oldest.scalar_subquery()))
        )
    row = {
        "digest": code.digest,
        "account": to_text(code.account),
        "role": code.role,
        "host": to_text(code.host),
        "created_at": to_int(code.created_at),
        "expires_at": to_int(code.expires_at),
        "lifetime_ms": to_int(code.lifetime_ms),
    }
    connection.execute(insert(sign_in_codes), row)


def _read_code(connection: Connection, digest: str, now: Instant) -> SignInCode | None:
    query = select(sign_in_codes).where(sign_in_codes.c.digest == digest)
    row = connection.execute(query).mappings().one_or_none()
    code = None if row is None else SignInCode(**row)
    return code if code is not None and now < code.expires_at else None


def _take_code(connection: Connection, digest: str, now: Instant) -> SignInCode | None:
    code = _read_code(connection, digest, now)
    connection.execute(delete(sign_in_codes).where(sign_in_codes.c.digest == digest))
    return code


def _add_session(connection: Connection, session: WebSession) -> None:
    connection.execute(delete(sessions).where(sessions.c.expires_at <= session.created_at))
    kept = select(sessions.c.digest).order_by(sessions.c.seen_at.desc()).limit(MOST_SESSIONS - 1)
    connection.execute(delete(sessions).where(sessions.c.digest.not_in(kept)))
    row = {
        "digest": session.digest,
        "account": to_text(session.account),
        "role": session.role,
        "host": to_text(session.host),
        "created_at": to_int(session.created_at),
        "seen_at": to_int(session.seen_at),
        "expires_at": to_int(session.expires_at),
        "token_digest": session.token_digest,
        "agent": to_text(session.agent),
    }
    connection.execute(insert(sessions), row)
