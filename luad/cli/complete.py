"""Shell completion of jobs, runs and users; it must answer within 150 ms.

Rule: it prints nothing and never fails; without an answer it offers nothing.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import click

    from luad.client import Client

TIMEOUT_SECONDS: Final = 0.1
MANY: Final = 200


def job_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of jobs; without a daemon, those of the job files."""
    del param
    with suppress(Exception):
        query = {"include_dynamic": True, "limit": MANY, "fields": "name"}
        answer = _client(ctx).get("/jobs", **query, prefix=incomplete or None)
        names = [job["name"] for job in answer["jobs"]]
        return [name for name in names if name.startswith(incomplete)]
    with suppress(OSError):
        # A job file usually has the name of its job; reading all files would take too long.
        return sorted(
            path.stem
            for path in Path("jobs.d").iterdir()
            if path.suffix in {".yaml", ".yml"} and path.name.startswith(incomplete)
        )
    return []


def user_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids of users."""
    del param
    with suppress(Exception):
        found = [user["id"] for user in _client(ctx).get("/users")["users"]]
        return [user for user in found if user.startswith(incomplete)]
    return []


def run_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return `@last`, `@last-failed`, and the ids of the latest runs."""
    del param
    found = ["@last", "@last-failed"]
    if not incomplete.startswith("@"):
        with suppress(Exception):
            found += [run["id"] for run in _client(ctx).get("/runs", limit=20)["runs"]]
    return [text for text in found if text.startswith(incomplete)]


def jobs_and_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return jobs and runs, for an argument that may be either."""
    return [*job_names(ctx, param, incomplete), *run_ids(ctx, param, incomplete)]


def _client(ctx: click.Context) -> Client:
    from luad.cli.project.target_daemon import connect
    from luad.cli.session import Session

    return connect(ctx.ensure_object(Session), timeout=TIMEOUT_SECONDS, is_quiet=True)
