"""The handlers of a project that luad 0.1.0 ran."""

import asyncio
from typing import Any

from luad import Jobs


def good(job: Any) -> dict[str, int]:
    """Succeed."""
    print(f"run {job.run_id}")
    return {"attempt": job.attempt}


async def remember(job: Any) -> None:
    """Write an overlay over the declared metadata."""
    count = int(job.metadata.get("count", 0)) + 1
    await job.update_metadata(count=count, region="overlaid")


async def slow(job: Any) -> None:
    """Run for longer than the next occurrence waits."""
    await asyncio.sleep(job.metadata.get("seconds", 2.5))


def fail(job: Any) -> None:
    """Fail."""
    raise ValueError(f"the report of {job.name} is empty")


async def forever(job: Any) -> None:
    """Run until luad ends it."""
    print(f"{job.name} waits", flush=True)
    await asyncio.Event().wait()


async def follow_up(job: Any) -> None:
    """Create a dynamic job."""
    await Jobs.create(
        name="follow-up",
        handler="work:good",
        schedule={"type": "once", "execute_at": "2099-01-01T09:00:00Z"},
        metadata={"of": job.name},
    )
