"""Follow-ups of tickets, and reminders of open invoices.

`ask_again` makes one follow-up for each ticket: the name of the job is its key, and a second call for the same
ticket moves the job. `nag` deletes its own job when the invoice is paid.

    PYTHONPATH=handlers .venv/bin/python -m followups T-812 ann
    .venv/bin/luad show followup-t-812
"""

from __future__ import annotations

import asyncio
import sys

from luad import Job, Jobs


async def ask_again(ticket: str, user_id: str, after: str = "48h") -> str:
    """Create or move the follow-up of a ticket. An agent calls this."""
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
    """Ask the user about the ticket."""
    user = await job.user()
    ticket = job.metadata["ticket"]
    await user.send(f"Two days ago we talked about {ticket}. Is it settled?", title=ticket)


async def remember_invoice(number: str, user_id: str) -> str:
    """Create a daily reminder of an invoice, until it is paid. An agent calls this."""
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
    """Remind the user of the invoice, or delete the job of a paid one.

    The program that books the payment sets ``paid`` with `luad metadata`, or with ``job.update_metadata(paid=True)``.
    """
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
