"""Lives through many seeds and says which of them break a promise.

`python tests/simulation/campaign.py --seeds 1000` looks for a seed that does; `--seed N --verbose` lives
that one again and prints what it found.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from busy import BusyWorld
from checker import violations
from world import World

from luad.clock import SystemClock

STEPS = 400


def judge(seed: int) -> list[str]:
    """Return what one seed's history breaks; a world that falls over breaks something as well."""
    with_clock_steps = seed % 3 == 0
    try:
        if seed % 2:
            busy = BusyWorld(seed, with_clock_steps=with_clock_steps)
            for _ in range(STEPS):
                busy.step()
            return [*busy.broken, *violations(busy)]
        world = World(seed, with_clock_steps=with_clock_steps)
        for _ in range(STEPS):
            world.step()
        return violations(world)
    except Exception:  # noqa: BLE001 - whatever it is, the seed that leads to it is the finding
        return [traceback.format_exc()]


def main() -> int:
    """Judge the seeds that were asked for; 1 when one of them breaks a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--verbose", action="store_true", help="print every violation")
    asked = parser.parse_args()
    one = asked.seed is not None
    seeds = (
        range(asked.seed, asked.seed + 1) if one else range(asked.first, asked.first + asked.seeds)
    )
    clock = SystemClock()
    began = clock.now().elapsed
    for count, seed in enumerate(seeds, 1):
        if found := judge(seed):
            print(f"seed {seed}: {len(found)} violations")
            print("\n".join(found if asked.verbose else found[:3]))
            print(f"again: python tests/simulation/campaign.py --seed {seed} --verbose")
            return 1
        if count % 100 == 0:
            print(
                f"{count} seeds, {1000 * count / (clock.now().elapsed - began):.0f} a second",
                flush=True,
            )
    print(f"{len(seeds)} seeds keep the promises")
    return 0


if __name__ == "__main__":
    sys.exit(main())
