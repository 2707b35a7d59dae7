"""Follow-ups: one for each ticket, asked for as often as one likes, and an invoice that nags.

`ask_again` shows a natural key: the name. Asking twice for the same ticket moves the one follow-up
there is. `nag` shows a job that removes itself once there is nothing left to do.

    PYTHONPATH=handlers .venv/bin/python -m followups T-812 ann
    .venv/bin/luad show followup-t-812
"""

from __future__ import annotations

import asyncio
import sys

from luad import Job, Jobs


async def ask_again(ticket: str, user_id: str, after: str = "48h") -> str:
    """The agent's tool: come back to a ticket after some time."""
    job = await Jobs.create(
        name=f"followup-{ticket.lower()}",
        handler="followups:follow_up",
        user=user_id,
        in_=after,
        metadata={"ticket": ticket},
        retry=3,
        if_exists="replace",
    )
    return job.summary


async def follow_up(job: Job) -> None:
    """The handler of a follow-up."""
    user = await job.user()
    ticket = job.metadata["ticket"]
    await user.send(f"Two days ago we talked about {ticket}. Is it settled?", title=ticket)


async def remember_invoice(number: str, user_id: str) -> str:
    """The agent's tool: nag about an invoice every day, until it is paid."""
    job = await Jobs.create(
        name=f"invoice-{number.lower()}",
        handler="followups:nag",
        user=user_id,
        every="1d",
        metadata={"invoice": number, "paid": False, "times": 0},
        if_exists="keep",
    )
    return job.summary


async def nag(job: Job) -> str:
    """The handler of a nag. Whoever learns that it is paid says so with `luad metadata`, or from Python
    with ``job.update_metadata(paid=True)``."""
    if job.metadata["paid"]:
        await job.delete()  # this run still ends normally
        return "paid"
    times = job.metadata["times"] + 1
    await job.update_metadata(times=times)
    user = await job.user()
    await user.send(f"Invoice {job.metadata['invoice']} is still open (reminder {times}).")
    return "open"


if __name__ == "__main__":
    print(asyncio.run(ask_again(sys.argv[1], sys.argv[2])))
