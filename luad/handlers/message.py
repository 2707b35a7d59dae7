"""Sends a message to a user; the jobs of `luad remind` run this handler.

Rule: as in `luad.handlers`, parameters come in `job.metadata`, and invalid ones are refused.
"""

from __future__ import annotations

from luad.handlers.parameters import TEXT, Parameters, schema
from luad.sdk.params import params

TYPE_CHECKING = False  # `typing` costs 9 ms, which every run would pay
if TYPE_CHECKING:
    from luad.sdk import Job


@params(schema("text", text={**TEXT, "examples": ["Your report is ready."]}, title=TEXT))
async def send(job: Job) -> dict[str, object]:
    """Send `text`, with `title` if it is set, to the user of the job."""
    parameters = Parameters(job, "text", "title")
    text = parameters.text("text")
    title = parameters.text("title") if "title" in parameters else None
    user = await job.user()
    delivery = await user.send(text, title=title)
    return {"user": user.id, "arrived": [each.channel for each in delivery if each.ok]}
