"""Shares: which shards a node gives and takes, and that all nodes together own each shard once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luad.cluster.shares import FREE_MS, FreeShards, Moves, decide, rank, share_of
from luad.core.shards import SHARDS, shard_of

ALL = frozenset(range(SHARDS))


def test_the_shard_of_a_name_is_a_constant() -> None:
    """Stores and other nodes depend on these numbers."""
    assert [shard_of(name) for name in ("backup", "daily-sales-report", "a")] == [44, 39, 3]
    assert all(0 <= shard_of(f"job-{n}") < SHARDS for n in range(1_000))
    assert {shard_of(f"job-{n}") for n in range(1_000)} == ALL


def test_a_node_alone_takes_everything_and_two_take_half() -> None:
    assert len(decide("ann", (), ALL, 1, ()).take) == SHARDS
    assert len(decide("ann", (), ALL, 2, ()).take) == SHARDS // 2
    assert share_of(3) == 22


def test_a_node_above_its_share_gives_the_shards_that_fit_it_least() -> None:
    moves = decide("ann", ALL, (), 2, ())
    kept = ALL - {*moves.give}
    assert len(moves.give) == SHARDS // 2
    assert min(rank("ann", each) for each in kept) > max(rank("ann", each) for each in moves.give)


def test_nothing_is_given_while_a_shard_is_free() -> None:
    """Else a shard that only this node can take would wander."""
    assert decide("ann", range(40), {60}, 2, ()) == Moves()


def test_a_node_that_drains_gives_everything_and_takes_nothing() -> None:
    assert decide("ann", {3, 1}, {5}, 1, {5}, is_willing=False) == Moves(give=(1, 3))


def test_a_shard_that_nobody_took_is_taken_by_any_willing_node() -> None:
    free = FreeShards()
    free.note({7}, 1_000)
    free.note({7}, 1_000 + FREE_MS - 1)
    assert not free.is_overdue(7, 1_000 + FREE_MS - 1)
    assert free.is_overdue(7, 1_000 + FREE_MS)
    assert decide("ann", range(32), {40}, 2, {40}).take == (40,)
    free.note((), 9_000)
    free.note({7}, 9_001)
    assert not free.is_overdue(7, 9_001), "it had an owner meanwhile"


@given(st.integers(1, 7), st.randoms(use_true_random=False))
def test_nodes_that_come_and_go_settle_with_every_shard_owned_once(
    count: int, dice: object
) -> None:
    """The locks are those of PostgreSQL: one taker wins. It ends within as many rounds as there are shards."""
    owned: dict[str, set[int]] = {f"node-{n}": set() for n in range(count)}
    moves = 0
    for _ in range(4 * SHARDS):
        is_still = True
        names = sorted(owned)
        dice.shuffle(names)  # type: ignore[attr-defined]
        for name in names:
            free = ALL - set().union(*owned.values())
            found = decide(name, owned[name], free, count, ())
            owned[name] -= {*found.give}
            owned[name] |= {*found.take[:1]}
            moves += len(found.give) + len(found.take[:1])
            is_still &= found == Moves()
        if is_still:
            break
    assert is_still
    assert moves == SHARDS, "no shard wanders"
    assert sorted(each for shards in owned.values() for each in shards) == sorted(ALL)
    assert max(map(len, owned.values())) <= share_of(count)
