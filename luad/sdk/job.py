"""A job, as handlers get it and as `Jobs` returns it.

One core has two faces. The core describes the requests, step by step. `Job` here is the face for
``async def``; the one in `luad.sdk.blocking` is for plain functions. The runner builds the job
from plain values, and gives the handler the face that it can use.

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
    from typing import Literal, Unpack

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
    """A job for ``async def``: its methods are awaited. Its attributes are those of `JobCore`."""

    @awaited("job.refresh")
    async def refresh(self) -> Job:
        """Fetch the job again, and return it."""
        await run_async(self._refresh())
        return self

    @awaited("job.user")
    async def user(self) -> User:
        """Return the job's user. Raises `NoUser`, with a hint, if the job has none."""
        from luad.sdk.user import User
        from luad.sdk.user_core import user_steps

        return await run_async(user_steps(User, self._need_user()))

    @awaited("job.update_metadata")
    async def update_metadata(
        self, mapping: Mapping[str, object] | None = None, /, **values: object
    ) -> None:
        """Set keys of the metadata. luad merges, so writers of different keys do not overwrite each other."""
        await run_async(self._write_metadata("PATCH", mapping or {}, values))

    @awaited("job.patch_metadata")
    async def patch_metadata(self, patch: Mapping[str, object]) -> None:
        """Apply a merge patch (RFC 7396): None removes a key, and objects are merged recursively."""
        await run_async(self._write_metadata("PATCH", patch, kind=MERGE_PATCH))

    @awaited("job.replace_metadata")
    async def replace_metadata(self, mapping: Mapping[str, object]) -> None:
        """Replace all metadata by *mapping*."""
        await run_async(self._write_metadata("PUT", mapping))

    @awaited("job.trigger")
    async def trigger(
        self,
        *,
        metadata: Mapping[str, object] | None = None,
        force: bool = False,
        revision: str | None = None,
    ) -> Run:
        """Start a run now, regardless of the schedule; *metadata* are merged over its own for that run.

        With *revision* a dynamic job executes that earlier revision.
        """
        return await run_async(self._trigger(metadata, revision, force=force))

    @awaited("job.pause", "deactivate")
    async def pause(
        self, *, reason: str | None = None, until: datetime | timedelta | float | str | None = None
    ) -> Job:
        """Pause the job until *until* (a delay, an instant or a phrase), or until a call resumes it."""
        await run_async(self._pause(reason, until))
        return self

    @awaited("job.resume", "activate")
    async def resume(self, *, catch_up: Literal["none", "one", "all"] = "none") -> Job:
        """Resume the job; *catch_up* selects the skipped occurrences that still run."""
        await run_async(self._resume(catch_up))
        return self

    deactivate = pause
    activate = resume

    @awaited("job.update")
    async def update(self, **changes: Unpack[Changes]) -> Job:
        """Change the definition of a dynamic job, and return the job.

        The keywords are those of `Jobs.create`; None means the default. One of *at*, *in_*,
        *every*, *cron* and *schedule* replaces the schedule. Metadata have methods of their own.
        Raises `FileOwned`, `InvalidSchedule`, `ValidationError`.
        """
        await run_async(self._update(changes))
        return self

    @awaited("job.snooze")
    async def snooze(self, until: datetime | timedelta | float | str) -> Job:
        """Postpone the job until *until*: a delay such as ``"1h"``, an instant, or a phrase.

        A `once` job is due at that instant instead. Any other job is paused until then. Raises
        `FileOwned` for a `once` job of a file.
        """
        await run_async(self._snooze(until))
        return self

    @awaited("job.delete")
    async def delete(self) -> None:
        """Delete the job. Its runs, also the one that calls this, end normally.

        If a job of a file deletes itself in a run, it is paused until its file changes. Any other
        job of a file raises `FileOwned`.
        """
        await run_async(self._delete())

    @awaited("job.runs")
    async def runs(
        self, limit: int = 50, offset: int = 0, *, status: str | None = None
    ) -> list[Run]:
        """Return the runs, newest first, without the first *offset*.

        *status* may name several, separated by commas.
        """
        return await run_async(self._runs(limit, offset, status))

    @awaited("job.revisions")
    async def revisions(self) -> list[Revision]:
        """Return the revisions of the definition, latest first."""
        return await run_async(self._revisions())

    @awaited("job.restore")
    async def restore(self, revision: Revision | str) -> Job:
        """Restore an earlier revision of a dynamic job, and return the job.

        Raises `FileOwned` for a job of a file, and `NotFound` for an unknown revision.
        """
        await run_async(self._restore(revision))
        return self


def current_job() -> Job:
    """Return the job whose handler is running in this process, with the handler's face.

    Raises `NoJobError` outside of a run.
    """
    job = running_job()
    if job is None:
        from luad.sdk.exceptions import NoJobError

        raise NoJobError(
            "no job is running in this process", hint="try the handler with `luad test NAME`"
        )
    return job  # type: ignore[return-value] # a plain function knows that it has the other face
