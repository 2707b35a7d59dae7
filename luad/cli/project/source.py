"""Jobs and runs from the daemon, whole and resolved.

Room rule: asks the daemon, follows its pages, and returns its JSON as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from luad.client import segment

if TYPE_CHECKING:
    from luad.client import Client

RUN_ID: Final = re.compile(r"run_[0-9A-HJKMNP-TV-Z]*")


def all_jobs(
    client: Client, *, with_dynamic: bool = True, user: str | None = None
) -> dict[str, Any]:
    """Fetch every job (of *user*), page by page; the answer has the shape of one page."""
    query = {"include_dynamic": with_dynamic or None, "user": user}
    answer = client.get("/jobs", **query)
    jobs = list(answer["jobs"])
    while cursor := answer.get("next_cursor"):
        more = client.get("/jobs", **query, cursor=cursor)
        jobs += more["jobs"]
        answer = {**answer, "next_cursor": more.get("next_cursor")}
    return {**answer, "jobs": jobs}


def job(client: Client, name: str) -> dict[str, Any]:
    """Fetch the job that *name* (or a unique prefix, or an id) names; raises `NotFoundError`."""
    found: dict[str, Any] = client.get(f"/jobs/{segment(name)}")
    return found


def is_run(text: str) -> bool:
    """Whether *text* can only mean a run: an id, the beginning of one, or `@last`."""
    return text.startswith("@") or RUN_ID.fullmatch(text) is not None


def run(client: Client, text: str) -> dict[str, Any]:
    """Fetch the run that *text* names: an id, a unique prefix, `@last` or `@last-failed`.

    Raises `NotFoundError`.
    """
    found: dict[str, Any] = client.get(f"/runs/{segment(text)}")
    return found
