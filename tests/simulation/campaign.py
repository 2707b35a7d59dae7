"""Lives through many seeds and says which of them break a promise.

`PYTHONPATH=tests python -m simulation.campaign --seeds 1000` looks for a seed that does; `--seed N --verbose` lives
that one again and prints what happened in it, and what is wrong with that.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b

from simulation.busy import BusyWorld
from simulation.checker import violations
from simulation.cluster_world import ClusterWorld
from simulation.storage import forget
from simulation.world import World

from luad.clock import SystemClock

EVERY = 500


def world_of(seed: int, *, is_cluster: bool = False) -> World:
    """Begin one seed's month. Every fourth one has jobs that are made at run time, and a plain model
    beside them that knows what should be in force."""
    if is_cluster:
        return ClusterWorld(seed)
    return BusyWorld(seed) if seed % 4 == 3 else World(seed)


def live(seed: int, *, is_cluster: bool = False) -> World:
    """Live one seed's month."""
    world = world_of(seed, is_cluster=is_cluster)
    world.live()
    return world


def wrong_with(world: World) -> list[str]:
    """Return everything that is wrong with what happened."""
    found = violations(world.history())
    return [*world.broken, *world.storage.disagreements, *found]


def judge(seed: int, *, is_cluster: bool = False) -> list[str]:
    """Return what one seed's history breaks; a world that falls over breaks something as well."""
    try:
        return wrong_with(live(seed, is_cluster=is_cluster))
    except Exception:  # noqa: BLE001 - whatever it is, the seed that leads to it is the finding
        forget()
        return [traceback.format_exc()]


def digest(seeds: Sequence[int]) -> str:
    """A name for everything that happens in these seeds."""
    state = blake2b(digest_size=16)
    for seed in seeds:
        history = live(seed).history()
        state.update(repr((history.log, history.rows, sorted(history.alive))).encode())
    return state.hexdigest()


def main() -> int:
    """Judge the seeds that were asked for; 1 when one of them breaks a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--verbose", action="store_true", help="print what happened")
    parser.add_argument(
        "--digest", action="store_true", help="print a name for what happens, no more"
    )
    parser.add_argument("--cluster", action="store_true", help="with several nodes")
    asked = parser.parse_args()
    first, count = (asked.first, asked.seeds) if asked.seed is None else (asked.seed, 1)
    seeds = range(first, first + count)
    if asked.digest:
        print(digest(seeds))
        return 0
    if asked.verbose:
        _tell(seeds, is_cluster=asked.cluster)
    return _judge_all(seeds, is_cluster=asked.cluster)


def _judge_all(seeds: Sequence[int], *, is_cluster: bool) -> int:
    clock = SystemClock()
    began, cpu_began = clock.now().elapsed, _cpu_seconds()
    for count, seed in enumerate(seeds, 1):
        if found := judge(seed, is_cluster=is_cluster):
            print(f"seed {seed}: {len(found)} violations", *found[:20], sep="\n")
            mode = " --cluster" if is_cluster else ""
            command = f"python -m simulation.campaign --seed {seed}{mode} --verbose"
            print(f"again: PYTHONPATH=tests {command}")
            return 1
        if count % EVERY == 0 or count == len(seeds):
            seconds = max(0.001, (clock.now().elapsed - began) / 1000)
            cpu_ms = 1000 * (_cpu_seconds() - cpu_began) / count
            rate = f"{count / seconds:.0f} a second, {cpu_ms:.1f} ms of a processor each"
            print(f"{count} seeds in {seconds:.0f} s, {rate}", flush=True)
    print(f"no promise was broken in {len(seeds)} months")
    return 0


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _tell(seeds: Sequence[int], *, is_cluster: bool) -> None:
    for seed in seeds:
        world = world_of(seed, is_cluster=is_cluster)
        chosen = ", ".join(sorted(world.chosen)) or "nothing goes wrong"
        print(f"seed {seed}: {type(world).__name__}, {world.zone}, {chosen}")
        with suppress(
            Exception
        ):  # it is judged afterwards; until it falls over it has much to tell
            world.live()
        for fact in world.facts:
            print(" ", fact)
        for run in sorted(world.store.runs.values(), key=lambda run: (run.claimed_at, run.id)):
            print(" ", run)
        for record, skip in world.store.skips.values():
            print(" ", record.row_id, record.job_name, skip)


if __name__ == "__main__":
    sys.exit(main())
