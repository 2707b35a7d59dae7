"""Jobs and runs from the daemon, by name, id or prefix.

Rule: it follows the pages of an answer, and returns the JSON unchanged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from luad.client import segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.client import Client
    from luad.json_text import JsonObject

RUN_ID: Final = re.compile(r"run_[0-9A-HJKMNP-TV-Z]*")


def all_jobs(
    client: Client,
    *,
    with_dynamic: bool = True,
    user: str | None = None,
    tags: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> JsonObject:
    """Return every job (of *user*, with one of *tags*) in the shape of one page of the answer.

    *fields*: the members that each job has; by default all.
    """
    query: dict[str, object] = {"include_dynamic": with_dynamic or None, "user": user}
    query |= {"tag": ",".join(tags) or None, "fields": ",".join(fields) or None}
    answer = client.get("/jobs", **query)
    jobs = list(answer["jobs"])
    while cursor := answer.get("next_cursor"):
        more = client.get("/jobs", **query, cursor=cursor)
        jobs += more["jobs"]
        answer = {**answer, "next_cursor": more.get("next_cursor")}
    return {**answer, "jobs": jobs}


def job(client: Client, name: str) -> JsonObject:
    """Return the job with this name, unique prefix or id; raises `NotFoundError`."""
    found: JsonObject = client.get(f"/jobs/{segment(name)}")
    return found


def is_run(text: str) -> bool:
    """Return True if *text* can only name a run: an id, a prefix of one, or `@last`."""
    return text.startswith("@") or RUN_ID.fullmatch(text) is not None


def run(client: Client, text: str) -> JsonObject:
    """Return the run with this id or unique prefix, `@last` or `@last-failed`; raises `NotFoundError`."""
    found: JsonObject = client.get(f"/runs/{segment(text)}")
    return found
