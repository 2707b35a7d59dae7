"""Reminders: a function that an agent calls, and the handler that sends the message.

Try it while `make run` runs, from the folder of the checkout:

    PYTHONPATH=handlers .venv/bin/python -m reminders ann "stand-up" 1
    .venv/bin/luad list --all
    .venv/bin/luad users inbox ann
"""

from __future__ import annotations

import asyncio
import sys

from luad import Job, Jobs


async def set_reminder(user_id: str, message: str, minutes: float) -> str:
    """Create a reminder, and return a sentence that an agent can show to the user."""
    job = await Jobs.create(
        handler="reminders:remind",
        user=user_id,
        in_=60 * minutes,
        metadata={"message": message},
    )
    return job.summary


async def remind(job: Job) -> dict[str, str]:
    """Send the reminder. The job runs once, and luad then removes it from the list."""
    user = await job.user()
    await user.send(f"Reminder: {job.metadata['message']}")
    return {"reminded": user.id}


if __name__ == "__main__":
    who, what, when = sys.argv[1:]
    print(asyncio.run(set_reminder(who, what, float(when))))
