"""A job: what a handler is called with, and what `Jobs` gives.

One core, two faces. The core says what is asked for, step by step; `Job` here is its face for ``async def``,
the one in `luad.sdk.blocking` that for plain functions. The code that runs a handler makes the job from plain
values, and gives the handler the face that it can use.

Rule: cheap to import, because every handler's process pays for it.
"""

from __future__ import annotations

from luad.sdk.ask import MERGE_PATCH
from luad.sdk.job_core import (
    Cancelled,
    JobCore,
    mark_cancelled,
    running_job,
    set_current_job,
)
from luad.sdk.link import run_async
from luad.sdk.pending import awaited

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler would pay
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from typing import Any, Literal, Unpack

    from luad.sdk.keyword_types import Changes
    from luad.sdk.user import User
    from luad.sdk.values import Revision, Run

__all__ = [
    "Cancelled",
    "Job",
    "JobCore",
    "current_job",
    "mark_cancelled",
    "running_job",
    "set_current_job",
]


class Job(JobCore):
    """A job, for ``async def``: its methods are awaited. Its attributes are those of `JobCore`."""

    @awaited("job.refresh")
    async def refresh(self) -> Job:
        """Look at it anew, and return it."""
        await run_async(self._refresh())
        return self

    @awaited("job.user")
    async def user(self) -> User:
        """The person it is for. Raises `NoUser`, saying how to set one, when there is none."""
        from luad.sdk.user import User  # noqa: PLC0415 - only the caller pays
        from luad.sdk.user_core import user_steps  # noqa: PLC0415 - as above

        return await run_async(user_steps(User, self._need_user()))

    @awaited("job.update_metadata")
    async def update_metadata(
        self, mapping: Mapping[str, Any] | None = None, /, **values: Any
    ) -> None:
        """Set keys of the metadata. luad merges: writers of different keys never lose each other's."""
        await run_async(self._write_metadata("PATCH", mapping or {}, values))

    @awaited("job.patch_metadata")
    async def patch_metadata(self, patch: Mapping[str, Any]) -> None:
        """Apply a merge patch (RFC 7396): None removes a key, objects are merged all the way down."""
        await run_async(self._write_metadata("PATCH", patch, kind=MERGE_PATCH))

    @awaited("job.replace_metadata")
    async def replace_metadata(self, mapping: Mapping[str, Any]) -> None:
        """Leave nothing but *mapping*."""
        await run_async(self._write_metadata("PUT", mapping))

    @awaited("job.trigger")
    async def trigger(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        force: bool = False,
        revision: str | None = None,
    ) -> Run:
        """Run it now, whatever its schedule says; *metadata* are laid over its own for that run.

        With *revision* a dynamic job executes that earlier revision.
        """
        return await run_async(self._trigger(metadata, revision, force=force))

    @awaited("job.pause", "deactivate")
    async def pause(
        self, *, reason: str | None = None, until: datetime | timedelta | float | str | None = None
    ) -> Job:
        """Stop scheduling it, until *until* (a delay, an instant or a phrase) or until a call resumes it."""
        await run_async(self._pause(reason, until))
        return self

    @awaited("job.resume", "activate")
    async def resume(self, *, catch_up: Literal["none", "one", "all"] = "none") -> Job:
        """Schedule it again; *catch_up* says which of the occurrences that were skipped run after all."""
        await run_async(self._resume(catch_up))
        return self

    deactivate = pause
    activate = resume

    @awaited("job.update")
    async def update(self, **changes: Unpack[Changes]) -> Job:
        """Change its definition, and return it; only a job that was made at run time.

        The keywords are those of `Jobs.create`; None means the default. One of *at*, *in_*, *every*, *cron* and
        *schedule* replaces the schedule. Metadata have methods of their own. Raises `FileOwned`,
        `InvalidSchedule`, `ValidationError`.
        """
        await run_async(self._update(changes))
        return self

    @awaited("job.snooze")
    async def snooze(self, until: datetime | timedelta | float | str) -> Job:
        """Put it off until *until*: a delay such as ``"1h"``, an instant, or a phrase.

        A job that is due once is due then. Any other job is paused until then. Raises `FileOwned` for a job
        of a file that is due once.
        """
        await run_async(self._snooze(until))
        return self

    @awaited("job.delete")
    async def delete(self) -> None:
        """Remove it. A run in progress, also the one that asks, ends normally.

        A job of a file that deletes itself in a run is paused until its file changes. Anything else
        that a file declares raises `FileOwned`.
        """
        await run_async(self._delete())

    @awaited("job.runs")
    async def runs(
        self, limit: int = 50, offset: int = 0, *, status: str | None = None
    ) -> list[Run]:
        """Its history, newest first, without the first *offset*; *status* may be several, joined by
        commas."""
        return await run_async(self._runs(limit, offset, status))

    @awaited("job.revisions")
    async def revisions(self) -> list[Revision]:
        """The definitions that it has had, the latest first."""
        return await run_async(self._revisions())

    @awaited("job.restore")
    async def restore(self, revision: Revision | str) -> Job:
        """Give it the definition of an earlier revision; only a job that was made at run time.

        Raises `FileOwned` for a job of a file, and `NotFound` for a revision that it never had.
        """
        await run_async(self._restore(revision))
        return self


def current_job() -> Job:
    """The job whose handler is running in this process, with the face that the handler was given.

    Raises `NoJobError` where none is.
    """
    job = running_job()
    if job is None:
        from luad.sdk.exceptions import NoJobError  # noqa: PLC0415 - only where it is missing

        raise NoJobError(
            "no job is running in this process", hint="try the handler with `luad test NAME`"
        )
    return job  # type: ignore[return-value] # a plain function knows that it has the other face
