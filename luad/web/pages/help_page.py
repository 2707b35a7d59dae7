"""The help: the keys, and what the words of the pages mean.

Rule: as in `luad.web`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.web.frame import View

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

KEYS: Final = (
    ("?", "this page"),
    ("/", "search"),
    ("g then o, j, r, s, u, a, y", "overview, jobs, runs, schedule, users, activity, system"),
    ("j, k", "next row, previous row"),
    ("Enter", "open the row"),
    ("l", "open the log of the row's last run"),
    ("n", "next line that matches the pattern"),
    ("r", "run the job of the row"),
    ("p", "pause the job of the row"),
    ("x", "tick the row"),
    ("f", "only failing jobs"),
    ("t", "the zone of the times"),
    ("d", "light or dark"),
    ("Esc", "leave the field, close the menu"),
)
WORDS: Final = (
    ("occurrence", "one due point of a schedule"),
    ("run", "one execution of a job"),
    ("attempt", "one try within a run"),
    ("skipped", "not started on purpose: overlap, paused, coalesced, removed, draining"),
    ("missed", "not started because it was too late: downtime, clock, overload, past"),
    ("lost", "the daemon did not see the end of the run, or had to end it at a stop"),
    ("stale", "the file is broken, and its last good version is in force"),
)


async def show(request: Request) -> Response:
    """`GET /help`: keys and words."""
    view = await View.of(request)
    return await view.answer("help.html", "help", "Help", keys=KEYS, words=WORDS)
