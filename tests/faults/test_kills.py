"""kill -9 at random moments: of the daemon, with requests on their way, files changing, runs going on.

`make kills LOOPS=500` makes it the long one; the seed is said, the moments are the machine's.
"""

from __future__ import annotations

import os
import random  # noqa: TID251 - a kill comes when it comes
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - a kill comes when it comes

import pytest
from faults.ordeal import (
    LiveDaemon,
    LuadError,
    Promises,
    UnavailableError,
    beset,
    counts_of,
    job,
    judge,
)

LOOPS = int(os.environ.get("LUAD_KILLS", "6"))
SEED = int(os.environ.get("LUAD_KILLS_SEED", "20261128"))
JUDGED_EVERY = 10


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * LOOPS)
def test_killed_at_random_moments_it_keeps_every_promise(tmp_path: Path) -> None:
    dice, others = random.Random(SEED), random.Random(SEED + 1)  # noqa: S311 - moments, no secrets
    print(f"seed {SEED}, {LOOPS} kills")
    daemon = beset(tmp_path)
    promises = Promises()
    began = monotonic()
    for number in range(1, LOOPS + 1):
        daemon.lines.clear()
        daemon.start(wait=dice.random() < 0.8)
        if dice.random() < 0.3:  # a load under way at the moment of the kill
            seconds, more = dice.randrange(1, 4), f"description: edit {number}"
            daemon.write_job("restless", job("restless", "stamp", seconds, more))
        requests = threading.Thread(target=ask_until_killed, args=(daemon, promises, others))
        requests.start()
        sleep(dice.choice([0.1, 0.7, 2.5]) * dice.random())
        daemon.kill()
        requests.join()
        if number % JUDGED_EVERY == 0:
            judge(daemon, promises)
            print(f"{number} kills, {monotonic() - began:.0f} s", counts_of(daemon), flush=True)
    # Few lives on a slow machine may end before the dice have thrown each kind of request.
    daemon.lines.clear()
    daemon.start()
    while not (promises.made and promises.soon and promises.written):
        with suppress(LuadError):
            promises.ask(daemon, others)
    daemon.kill()
    judge(daemon, promises)
    assert counts_of(daemon)["succeeded"] > LOOPS // 2


def ask_until_killed(daemon: LiveDaemon, promises: Promises, dice: random.Random) -> None:
    process = daemon.process
    while process.poll() is None:
        try:
            promises.ask(daemon, dice)
        except UnavailableError:
            sleep(0.01)
        except LuadError:
            continue
