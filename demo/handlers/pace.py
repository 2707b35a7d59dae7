"""What the handlers of the demonstration share: work that takes time, and chance that repeats."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luad.sdk import Job

log = logging.getLogger("shop")
wait = time.sleep


class GatewayError(Exception):
    """A service of somebody else answered that it is down."""


def chance(job: Job) -> random.Random:
    """Return chance that is the same whenever this attempt is made."""
    return random.Random(f"{job.name} {job.scheduled_for} {job.attempt}")


def spend(job: Job, seconds: float) -> random.Random:
    """Wait for about *seconds*, now and then longer; return the chance of this run."""
    dice = chance(job)
    longer = 1.8 if dice.random() < 0.04 else 1.0
    wait(seconds * longer * dice.triangular(0.8, 1.3, 1.0))
    return dice


def do(job: Job, what: str, many: int, seconds: float, failing: float = 0) -> str:
    """Do something to about *many* things within about *seconds*; return a line about it."""
    log.info("begun: %s of %s", what, job.scheduled_for)
    dice = spend(job, seconds)
    if dice.random() < failing:
        log.warning("the answer took longer than 30 s")
        raise TimeoutError(f"no answer to the request for {what}")
    done = int(many * dice.triangular(0.6, 1.4, 1.0))
    log.info("%d %s", done, what, extra={"count": done})
    return f"{done} {what}"
