"""The filters of the lists in the address of a page, and the questions that they mean.

Rule: a page and an action on all that match the page ask the same question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

JOB_FILTERS: Final = ("status", "health", "tag", "source", "user", "q")
RUN_FILTERS: Final = (
    "status", "reason", "trigger", "job", "user", "tag", "delivery", "since", "until", "min_duration", "not", "q"
)  # fmt: skip


def job_question(query: Mapping[str, str]) -> dict[str, object]:
    """Return the parameters of `GET /v1/jobs` for the jobs that the filters of a page choose."""
    given: dict[str, object] = {name: query.get(name, "") for name in JOB_FILTERS}
    has_dynamic = any(given[name] for name in ("source", "q", "user", "health"))
    return {**given, "include_dynamic": has_dynamic or None}


def run_question(query: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of `GET /v1/runs` for the runs that the filters of a page choose."""
    return {name: text for name in RUN_FILTERS if (text := query.get(name, ""))}
