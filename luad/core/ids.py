"""Names of runs and jobs: sortable by time, and the same for the same cause.

Rule: no dice. An id is a function of what it names, so deciding twice names the same thing.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from luad.core.model import Instant

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_TIME_BITS: Final = 48
_HASH_BYTES: Final = 10


def make_id(prefix: str, at: Instant, *cause: object) -> str:
    """Return ``prefix_`` and 26 characters: 48 bits of *at*, 80 bits of a hash of *cause*."""
    text = "\x1f".join(map(str, cause))
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=_HASH_BYTES).digest()
    time_bits = max(0, at) & ((1 << _TIME_BITS) - 1)
    number = (time_bits << (8 * _HASH_BYTES)) | int.from_bytes(digest, "big")
    chars = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        chars.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(chars))}"
