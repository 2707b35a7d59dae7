"""The valid tokens, which are read from the store at most twice a second.

Rule: a token is found by the digest of its secret; a failed read keeps the tokens of the read before.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from luad.core.model import MINUTE
from luad.errors import StoreUnavailableError

if TYPE_CHECKING:
    from luad.api.service import Service
    from luad.core.model import Instant
    from luad.store.api_access import Token

SECRET_PREFIX: Final = "luad_"  # noqa: S105 - what every secret begins with
FRESH_S: Final = 0.5
"""The age of a read that is still used. Streams check each second, so a revoked token ends within two."""

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
    _by_digest: dict[str, Token] = field(default_factory=dict)
    _read_at: float | None = None
    _reading: asyncio.Task[None] | None = None

    async def find(self, secret: str) -> tuple[str, Token] | None:
        """Return the digest of *secret* and its token; None when it is not valid now."""
        if not secret.startswith(SECRET_PREFIX):
            return None
        digest = digest_of(secret)
        token = await self.valid(digest)
        return None if token is None else (digest, token)

    async def valid(self, digest: str) -> Token | None:
        """Return the token of a secret with that digest; None when it is not valid now."""
        await self._refresh()
        token = self._by_digest.get(digest)
        now = self.service.clock.now().wall
        return token if token is not None and _is_valid(token, digest, now) else None

    def forget(self) -> None:
        """Read all tokens again before the next request: one has changed."""
        self._read_at = self._reading = None  # a read that is under way may be of before the change

    def note_use(self, token: Token, now: Instant) -> None:
        """Write down, soon, that *token* was used."""
        used = replace(token, last_used_at=now)
        for digest in token.digests:
            self._by_digest[digest] = used
        self.service.store.access.note_use(token.name, now)

    async def _refresh(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._read_at is not None and now - self._read_at < FRESH_S:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(now), name="api-tokens")
        reading = self._reading
        await asyncio.shield(reading)
        if reading is not self._reading and self._read_at is None:
            await self._refresh()  # what was read was forgotten meanwhile

    async def _read(self, now: float) -> None:
        try:
            found = await self.service.store.access.tokens()
        except StoreUnavailableError:
            if self._read_at is None:
                raise
            return  # nothing can be revoked meanwhile, either; expired ones are out all the same
        if asyncio.current_task() is self._reading:
            self._by_digest = {digest: each for each in found for digest in each.digests}
            self._read_at = now


def _is_valid(token: Token, digest: str, now: Instant) -> bool:
    until = token.until(digest)
    return until is None or now < until
