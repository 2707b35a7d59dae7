"""The context of a run, as handlers import it.

Rule: cheap to import, and free of the rest of luad, because every handler's process pays for it.
"""

from __future__ import annotations

from luad.sdk.job import Cancelled, Job, JobCore, current_job
from luad.sdk.readonly import ReadOnlyDict, ReadOnlyList

TYPE_CHECKING = False
if TYPE_CHECKING:
    from luad.sdk.exceptions import NoJobError

__all__ = [
    "Cancelled",
    "Job",
    "JobCore",
    "NoJobError",
    "ReadOnlyDict",
    "ReadOnlyList",
    "current_job",
]


def __getattr__(name: str) -> object:
    if name != "NoJobError":
        raise AttributeError(f"module 'luad.sdk' has no attribute {name!r}")
    from luad.sdk.exceptions import NoJobError

    return NoJobError
