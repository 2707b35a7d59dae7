"""Reminders: what an agent calls, and what runs when the time has come.

Try it while `make run` goes on, from the folder of the checkout:

    PYTHONPATH=handlers .venv/bin/python -m reminders ann "stand-up" 1
    .venv/bin/luad list --all
    .venv/bin/luad users inbox ann
"""

from __future__ import annotations

import asyncio
import sys

from luad import Job, Jobs


async def set_reminder(user_id: str, message: str, minutes: float) -> str:
    """The agent's tool: remind somebody later. What it returns, the agent can say to them."""
    job = await Jobs.create(
        handler="reminders:remind",
        user=user_id,
        in_=60 * minutes,
        metadata={"message": message},
    )
    return job.summary


async def remind(job: Job) -> dict[str, str]:
    """The handler: it runs once, in a process of its own, and the job is gone after it."""
    user = await job.user()
    await user.send(f"Reminder: {job.metadata['message']}")
    return {"reminded": user.id}


if __name__ == "__main__":
    who, what, when = sys.argv[1:]
    print(asyncio.run(set_reminder(who, what, float(when))))
