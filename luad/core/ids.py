"""Names of runs and jobs: sortable by time, and the same for the same cause.

Rule: no dice. An id is a function of what it names, so deciding twice names the same thing.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from luad.core.model import Instant

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_TIME_BITS: Final = 48
_HASH_BYTES: Final = 10
_HASH_SHIFTS: Final = range(70, -1, -10)  # ten bits for each pair of characters
_TIME_SHIFTS: Final = range(40, -1, -10)


def make_id(prefix: str, at: Instant, *cause: object) -> str:
    """Return ``prefix_`` and 26 characters: 48 bits of *at*, 80 bits of a hash of *cause*."""
    text = "\x1f".join(map(str, cause))
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=_HASH_BYTES).digest()
    return _head(prefix, at) + _pairs(int.from_bytes(digest, "big"), _HASH_SHIFTS)


@lru_cache(maxsize=64)  # a herd has one instant
def _head(prefix: str, at: Instant) -> str:
    time_bits = max(0, at) & ((1 << _TIME_BITS) - 1)
    return f"{prefix}_{_pairs(time_bits, _TIME_SHIFTS)}"


def _pairs(number: int, shifts: range) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in shifts])
