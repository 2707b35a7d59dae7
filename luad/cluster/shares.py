"""Shares: the shards that a node gives, and the free shards that it tries to take.

Rule: pure. A decision follows from what the latest pulse returned and from what the node owns; the lock of
PostgreSQL alone makes a node the owner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from luad.core.shards import SHARDS

FREE_MS: Final = 3_000
"""After so long without an owner, any willing node takes a shard, whatever its share."""


@dataclass(frozen=True, slots=True)
class Moves:
    """The shards to give after a turn, and the free shards to try, in this order."""

    give: tuple[int, ...] = ()
    take: tuple[int, ...] = ()


def rank(node: str, shard: int) -> bytes:
    """Return the rank of *node* for *shard*; of two nodes, the one with the higher rank fits better."""
    return blake2b(f"{node}\0{shard}".encode("utf-8", "backslashreplace"), digest_size=8).digest()


def share_of(willing: int, count: int = SHARDS) -> int:
    """Return the number of shards that each of *willing* nodes wants."""
    return -(-count // max(1, willing))


class FreeShards:
    """The instant from which on each free shard has been free, by the node's steady clock."""

    def __init__(self) -> None:
        self._since: dict[int, int] = {}

    def note(self, free: Collection[int], elapsed: int) -> None:
        """Note the free shards that a pulse returned at *elapsed*."""
        self._since = {shard: self._since.get(shard, elapsed) for shard in free}

    def forget(self) -> None:
        """Forget all: the node was not in touch with the store."""
        self._since.clear()

    def is_overdue(self, shard: int, elapsed: int) -> bool:
        """Return whether *shard* has been free for so long that any willing node takes it."""
        since = self._since.get(shard)
        return since is not None and elapsed - since >= FREE_MS


def decide(
    node: str,
    own: Collection[int],
    free: Iterable[int],
    willing: int,
    overdue: Collection[int],
    *,
    is_willing: bool = True,
    count: int = SHARDS,
) -> Moves:
    """Return what *node*, which owns the shards *own*, gives and takes.

    *willing*: the number of nodes that want shards. *overdue*: the shards among *free* that have been
    free for too long. A node above its share gives nothing while a shard is free: the others take that
    one first, and a shard that no other node can take does not wander.
    """
    if not is_willing:
        return Moves(give=tuple(sorted(own)))
    share = share_of(willing, count)
    best_first = sorted(free, key=lambda shard: rank(node, shard), reverse=True)
    surplus = len(own) - share
    if surplus > 0 and not best_first:
        worst_first = sorted(own, key=lambda shard: rank(node, shard))
        return Moves(give=tuple(worst_first[:surplus]))
    missing = max(0, -surplus)
    take = best_first[:missing]
    return Moves(take=(*take, *(each for each in best_first[missing:] if each in overdue)))
