"""Refuses jobs whose queue no worker serves.

Rule: pure; a job and the served queues in, a mistake out.
"""

from __future__ import annotations

from collections.abc import Collection

from luad.config.schema.violations import Mistake
from luad.core.model import Job
from luad.suggestions import close_to


def queue_mistake(job: Job, served: Collection[str] | None) -> Mistake | None:
    """Return the mistake of a job whose queue is not one of *served*; None means all queues."""
    if served is None or job.queue in served:
        return None
    near = close_to(job.queue, served)
    queues = ", ".join([*sorted(served), job.queue])
    help_text = f"write  work: {{queues: [{queues}]}}  in luad.yaml"
    if near:
        help_text = f"did you mean `{near[0]}`?"
    return Mistake(("queue",), "LU209", f"no worker serves the queue `{job.queue}`", help_text)
