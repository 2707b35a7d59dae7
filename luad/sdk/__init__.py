"""What handlers import: the context of their run.

Room rule: cheap to import and free of the rest of luad, because every handler pays for it.
"""

from __future__ import annotations

from luad.sdk.job import Cancelled, Job, JobCore, NoJobError, current_job
from luad.sdk.readonly import ReadOnlyDict, ReadOnlyList

__all__ = [
    "Cancelled",
    "Job",
    "JobCore",
    "NoJobError",
    "ReadOnlyDict",
    "ReadOnlyList",
    "current_job",
]
