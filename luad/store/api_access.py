"""Tokens, the audit trail, and the answers to requests with an idempotency key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import IntegrityError

from luad.core.model import DAY, JSON, Instant
from luad.core.requests import AnswerKey
from luad.errors import ConflictError, StoreUnavailableError
from luad.store.access_tables import acknowledgements, answers, audit, tokens
from luad.store.audit_trail import EVERY_ENTRY, AuditFilter, AuditPage, Place, Trail, page
from luad.store.columns import to_int, to_int_or_none, to_text
from luad.store.query_budget import QueryBudget
from luad.store.transactions import Transactions

ANSWER_MS: Final = DAY
"""The time that the store keeps the answer to a request with a key."""

_remember = insert(answers).on_conflict_do_nothing()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a granted request with a key. *subject* is the id of the created job or run.

    *status* and *body* are None if luad was killed before it could store them.
    """

    key: AnswerKey
    subject: str
    at: Instant
    status: int | None = None
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token. *digest* is the SHA-256 of its secret, in hexadecimal; luad does not store the secret.

    After a rotation, the previous secret, of *old_digest*, is valid until *old_until*.
    """

    name: str
    role: str
    digest: str
    created_at: Instant
    created_by: str = ""
    expires_at: Instant | None = None
    last_used_at: Instant | None = None
    rotated_at: Instant | None = None
    old_digest: str | None = None
    old_until: Instant | None = None

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of the secrets that may be valid."""
        return (self.digest,) if self.old_digest is None else (self.digest, self.old_digest)

    def until(self, digest: str) -> Instant | None:
        """Return the instant until which the secret of *digest* is valid; None without an end."""
        if digest == self.digest or self.old_until is None:
            return self.expires_at
        return self.old_until if self.expires_at is None else min(self.old_until, self.expires_at)


class Access:
    """The answers, tokens and audit trail of a `Store`; raises `StoreUnavailableError` as it does."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self.trail: Final = Trail()

    # --- requests with a key ---

    async def answer(self, key: str) -> Answer | None:
        """Return the answer to the request with that key, if it was granted."""
        return await self._transactions.read(lambda c: _answer(c, to_text(key)))

    async def begin_answer(self, key: AnswerKey, subject: str, now: Instant) -> None:
        """Store that a request with a key is granted; the engine uses a record for its requests."""
        await self._transactions.write(lambda c: remember(c, key, subject, now))

    async def finish_answer(self, key: str, status: int, body: str) -> None:
        """Store the answer to a granted request."""
        query = update(answers).where(answers.c.key == to_text(key))
        await self._transactions.write(
            lambda c: c.execute(query.values(status=status, body_json=to_text(body)))
        )

    # --- tokens ---

    async def add_token(self, token: Token) -> None:
        """Add a token. Raises ConflictError (`name_taken`)."""
        await self._transactions.write(lambda c: _add_token(c, token))

    async def tokens(self) -> list[Token]:
        """Return all tokens, in order of names."""
        query = select(tokens).order_by(tokens.c.name)
        return await self._transactions.read(
            lambda c: [_read_token(row) for row in c.execute(query)]
        )

    def note_use(self, name: str, now: Instant) -> None:
        """Queue a write of the last use of a token, and return at once."""
        query = update(tokens).where(tokens.c.name == to_text(name)).values(last_used_at=now)
        with suppress(StoreUnavailableError):
            self._transactions.write_later(lambda c: c.execute(query))

    async def revoke_token(self, name: str) -> bool:
        """Remove a token with all its secrets; return False if none has that name."""
        return bool(await self.revoke_tokens([name]))

    async def revoke_tokens(self, names: Sequence[str]) -> int:
        """Remove tokens in one transaction, and return the number removed."""
        query = delete(tokens).where(tokens.c.name.in_([to_text(name) for name in names]))
        return int(await self._transactions.write(lambda c: c.execute(query).rowcount))

    async def rotate_token(self, before: Token, after: Token) -> bool:
        """Give a token another secret; return False if it has changed since *before*."""
        query = (
            update(tokens)
            .where((tokens.c.name == to_text(before.name)) & (tokens.c.digest == before.digest))
            .values(
                digest=after.digest,
                expires_at=to_int_or_none(after.expires_at),
                rotated_at=to_int_or_none(after.rotated_at),
                old_digest=after.old_digest,
                old_until=to_int_or_none(after.old_until),
            )
        )
        return bool(await self._transactions.write(lambda c: c.execute(query).rowcount))

    # --- the audit trail ---

    def note(
        self, at: Instant, row_id: str, entry: Mapping[str, JSON], job_ids: Sequence[str] = ()
    ) -> None:
        """Queue a row of the audit trail, which the activity of *job_ids* shows; return at once."""
        with suppress(StoreUnavailableError):
            self._transactions.write_later(lambda c: self.trail.note(c, at, row_id, entry, job_ids))

    async def audit(
        self, wanted: AuditFilter = EVERY_ENTRY, *, limit: int = 50, before: Place | None = None
    ) -> AuditPage:
        """Return rows of the audit trail that match *wanted*, newest first, as far as found in time."""
        return await self._transactions.read(
            lambda c: page(c, wanted, limit, before, QueryBudget.begin())
        )


# --- statements --------------------------------------------------------------------------------


def remember(connection: Connection, key: AnswerKey, subject: str, now: Instant) -> None:
    """Store that a request with a key is granted; an earlier row of the key stays."""
    connection.execute(
        _remember,
        {
            "key": to_text(key.key),
            "fingerprint": to_text(key.fingerprint),
            "subject": to_text(subject),
            "at": to_int(now),
        },
    )


def prune(connection: Connection, now: Instant, history_ms: int, limit: int) -> int:
    """Remove up to *limit* expired rows of each kind, and return the number removed."""
    count = 0
    for table, before in (
        (answers, now - ANSWER_MS),
        (audit, now - history_ms),
        (acknowledgements, now - history_ms),
    ):
        key = next(iter(table.primary_key))
        old = select(key).where(table.c.at < before).limit(limit)
        count += connection.execute(delete(table).where(key.in_(old))).rowcount
    expired = (tokens.c.expires_at.is_not(None)) & (tokens.c.expires_at < now - history_ms)
    return count + connection.execute(delete(tokens).where(expired)).rowcount


def _answer(connection: Connection, key: str) -> Answer | None:
    row = connection.execute(select(answers).where(answers.c.key == key)).one_or_none()
    if row is None:
        return None
    answer_key = AnswerKey(row.key, row.fingerprint)
    return Answer(answer_key, row.subject, row.at, row.status, row.body_json)


def _add_token(connection: Connection, token: Token) -> None:
    row = {
        "name": to_text(token.name),
        "role": token.role,
        "digest": token.digest,
        "created_at": to_int(token.created_at),
        "created_by": to_text(token.created_by),
        "expires_at": to_int_or_none(token.expires_at),
    }
    try:
        connection.execute(insert(tokens), row)
    except IntegrityError as error:
        raise ConflictError(
            f"a token `{token.name}` already exists",
            hint="choose another name, or revoke that one",
            code="name_taken",
        ) from error


def _read_token(row: Row[Any]) -> Token:
    return Token(
        row.name,
        row.role,
        row.digest,
        row.created_at,
        row.created_by,
        row.expires_at,
        row.last_used_at,
        row.rotated_at,
        row.old_digest,
        row.old_until,
    )
