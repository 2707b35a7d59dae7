"""The handlers of the data warehouse: loads and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pace import do, log, wait

if TYPE_CHECKING:
    from luad.sdk import Job


def load_facts(job: Job) -> str:
    """Load the facts of the last minutes; a full load takes an hour."""
    if job.metadata.get("load") == "full":
        for part in range(1, 721):
            log.info("part %d of 720: 1,200,000 rows", part)
            wait(5)
    return do(job, "rows", 18_400, 7.5, 0.01)


def load_clicks(job: Job) -> str:
    """Load the clicks of the last hour."""
    return do(job, "clicks", 240_000, 28)


def train(job: Job) -> dict[str, object]:
    """Fit the model that recommends articles."""
    do(job, "samples", 2_100_000, 1500)
    return {"auc": 0.871, "epochs": 12}


def report(job: Job) -> str:
    """Write a report for its readers."""
    return do(job, "pages written", 12, 11)


def export(job: Job) -> str:
    """Write the files that partners fetch."""
    return do(job, "files", 7, 16, 0.02)


def anonymise(job: Job) -> str:
    """Remove names from what is older than a month."""
    return do(job, "rows changed", 9_100, 38)
