"""The valid tokens.

Rule: a token is found by the digest of its secret.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from luad.api.auth.fresh_rows import FreshRows
from luad.core.model import MINUTE

if TYPE_CHECKING:
    from luad.api.service import Service
    from luad.core.model import Instant
    from luad.store.api_access import Token

SECRET_PREFIX: Final = "luad_"  # noqa: S105 - what every secret begins with

USE_NOTED_MS: Final = MINUTE
"""The last use of a token is written down that often at most."""


def new_secret() -> tuple[str, str]:
    """Return a new secret, and its digest."""
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    return secret, digest_of(secret)


def digest_of(secret: str) -> str:
    """Return the digest that luad stores. A secret has 256 random bits, so one plain hash suffices."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(slots=True)
class TokenCache:
    """The tokens of *service*'s store."""

    service: Service
    _rows: FreshRows[Token] = field(init=False)

    def __post_init__(self) -> None:
        self._rows = FreshRows(self._read)

    async def find(self, secret: str) -> tuple[str, Token] | None:
        """Return the digest of *secret* and its token; None when it is not valid now."""
        if not secret.startswith(SECRET_PREFIX):
            return None
        digest = digest_of(secret)
        token = await self.valid(digest)
        return None if token is None else (digest, token)

    async def valid(self, digest: str) -> Token | None:
        """Return the token of a secret with that digest; None when it is not valid now."""
        token = await self._rows.get(digest)
        now = self.service.clock.now().wall
        return token if token is not None and _is_valid(token, digest, now) else None

    def forget(self) -> None:
        """Read all tokens again before the next request: one has changed."""
        self._rows.forget()

    def note_use(self, token: Token, now: Instant) -> None:
        """Write down, soon, that *token* was used."""
        used = replace(token, last_used_at=now)
        for digest in token.digests:
            self._rows.put(digest, used)
        self.service.store.access.note_use(token.name, now)

    async def _read(self) -> dict[str, Token]:
        found = await self.service.store.access.tokens()
        return {digest: each for each in found for digest in each.digests}


def _is_valid(token: Token, digest: str, now: Instant) -> bool:
    until = token.until(digest)
    return until is None or now < until
