"""The handler that the process which makes forks runs for practice."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from luad.sync import Job


def run(job: Job) -> dict[str, str]:
    """Use what most handlers use."""
    print("practice")  # noqa: T201 - handlers print
    return {"key": job.metadata["key"]}
