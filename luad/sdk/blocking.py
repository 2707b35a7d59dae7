"""Jobs and users for plain functions, threads and scripts.

Rule: the steps are those of the other face; here each call waits for its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from luad.sdk.ask import MERGE_PATCH
from luad.sdk.create import CURRENT, REQUIRED
from luad.sdk.job import JobCore
from luad.sdk.jobs import checked_filters, create_steps, get_steps, page_steps
from luad.sdk.link import run
from luad.sdk.translating import Translating
from luad.sdk.user import get_steps as get_user_steps
from luad.sdk.user_core import UserCore, user_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from typing import Unpack

    from luad.sdk.keyword_types import Changes, Policies
    from luad.sdk.user_core import Part
    from luad.sdk.values import Cron, Delivery, Every, Once, Retry, Revision, Run, SentMessage


class Job(JobCore):
    """A job for plain functions: its methods wait. Its attributes are those of `JobCore`."""

    _is_blocking = True

    def refresh(self) -> Job:
        """Fetch the job again, and return it."""
        run(self._refresh())
        return self

    def user(self) -> User:
        """Return the job's user. Raises `NoUser`, with a hint, if the job has none."""
        return run(user_steps(User, self._need_user()))

    def update_metadata(
        self, mapping: Mapping[str, object] | None = None, /, **values: object
    ) -> None:
        """Set keys of the metadata. luad merges, so writers of different keys do not overwrite each other."""
        run(self._write_metadata("PATCH", mapping or {}, values))

    def patch_metadata(self, patch: Mapping[str, object]) -> None:
        """Apply a merge patch (RFC 7396): None removes a key, and objects are merged recursively."""
        run(self._write_metadata("PATCH", patch, kind=MERGE_PATCH))

    def replace_metadata(self, mapping: Mapping[str, object]) -> None:
        """Replace all metadata by *mapping*."""
        run(self._write_metadata("PUT", mapping))

    def trigger(
        self,
        *,
        metadata: Mapping[str, object] | None = None,
        force: bool = False,
        revision: str | None = None,
    ) -> Run:
        """Start a run now, regardless of the schedule; *metadata* are merged over its own for that run.

        With *revision* a dynamic job executes that earlier revision.
        """
        return run(self._trigger(metadata, revision, force=force))

    def pause(
        self, *, reason: str | None = None, until: datetime | timedelta | float | str | None = None
    ) -> Job:
        """Pause the job until *until* (a delay, an instant or a phrase), or until a call resumes it."""
        run(self._pause(reason, until))
        return self

    def resume(self, *, catch_up: Literal["none", "one", "all"] = "none") -> Job:
        """Resume the job; *catch_up* selects the skipped occurrences that still run."""
        run(self._resume(catch_up))
        return self

    deactivate = pause
    activate = resume

    def update(self, **changes: Unpack[Changes]) -> Job:
        """Change the definition of a dynamic job, and return the job.

        The keywords are those of `Jobs.create`; None means the default. One of *at*, *in_*,
        *every*, *cron* and *schedule* replaces the schedule. Metadata have methods of their own.
        Raises `FileOwned`, `InvalidSchedule`, `ValidationError`.
        """
        run(self._update(changes))
        return self

    def snooze(self, until: datetime | timedelta | float | str) -> Job:
        """Postpone the job until *until*: a delay such as ``"1h"``, an instant, or a phrase.

        A `once` job is due at that instant instead. Any other job is paused until then. Raises
        `FileOwned` for a `once` job of a file.
        """
        run(self._snooze(until))
        return self

    def delete(self) -> None:
        """Delete the job. Its runs, also the one that calls this, end normally.

        If a job of a file deletes itself in a run, it is paused until its file changes. Any other
        job of a file raises `FileOwned`.
        """
        run(self._delete())

    def runs(self, limit: int = 50, offset: int = 0, *, status: str | None = None) -> list[Run]:
        """Return the runs, newest first, without the first *offset*.

        *status* may name several, separated by commas.
        """
        return run(self._runs(limit, offset, status))

    def revisions(self) -> list[Revision]:
        """Return the revisions of the definition, latest first."""
        return run(self._revisions())

    def restore(self, revision: Revision | str) -> Job:
        """Restore an earlier revision of a dynamic job, and return the job.

        Raises `FileOwned` for a job of a file, and `NotFound` for an unknown revision.
        """
        run(self._restore(revision))
        return self


class User(UserCore):
    """A user for plain functions: *id*, *profile* (frozen), *data* (stored values)."""

    _is_blocking = True

    @classmethod
    def get(
        cls,
        id: str | None = None,  # noqa: A002 - the usual word
        *,
        email: str | None = None,
        phone: str | None = None,
    ) -> User | None:
        """Return the user with an id, an address or a number (with or without ``+``), or None.

        Without an argument: the user of `acting_for`, else of the running job. Raises
        `ValidationError` for an empty one.
        """
        return run(get_user_steps(cls, id, email, phone))

    def update(self, mapping: Mapping[str, object] | None = None, /, **values: object) -> None:
        """Set keys of `data`. luad merges, so writers of different keys do not overwrite each other."""
        run(self._update(mapping, values))

    def patch(self, patch: Mapping[str, object]) -> None:
        """Apply a merge patch (RFC 7396) to `data`."""
        run(self._patch(patch))

    def save(self) -> None:
        """Replace the stored data by `data`."""
        run(self._save())

    def clear(self) -> None:
        """Delete all stored data of the user."""
        run(self._clear())

    def send(
        self,
        messages: Part | Sequence[Part],
        *,
        title: str | None = None,
        channels: Sequence[str] | None = None,
        require: Literal["any", "all"] = "any",
        priority: Literal["low", "normal", "high"] = "normal",
        dedupe_key: str | None = None,
    ) -> Delivery:
        """Send a message to the user, through all channels or *channels*.

        Raises `DeliveryFailed` if the message has not arrived on any channel, or with *require*
        ``"all"`` not on each. In a handler, a retried run sends again only to the channels that
        failed; elsewhere *dedupe_key* does that.
        """
        return run(self._send(messages, title, channels, require, priority, dedupe_key))

    def messages(self, limit: int = 50) -> list[SentMessage]:
        """Return the messages that luad has sent to the user, newest first."""
        return run(self._messages(limit))


class Jobs(metaclass=Translating):
    """Creates and finds jobs; for plain functions."""

    @staticmethod
    def create(
        *,
        handler: str | Callable[..., object] = REQUIRED,
        name: str | None = None,
        at: datetime | str | None = None,
        in_: timedelta | float | str | None = None,
        every: timedelta | float | str | None = None,
        cron: str | None = None,
        schedule: Cron | Every | Once | Mapping[str, object] | None = None,
        timezone: str | None = None,
        description: str = "",
        metadata: Mapping[str, object] | None = None,
        user: str | UserCore | None = CURRENT,
        timeout: timedelta | float | str | None = None,
        retry: Retry | int | Mapping[str, object] | None = None,
        tags: Sequence[str] = (),
        activate: bool = True,
        keep: bool = False,
        if_exists: Literal["error", "keep", "replace"] = "error",
        idempotency_key: str | None = None,
        **policies: Unpack[Policies],
    ) -> Job:
        """Create a job, and return it once it is durable: see `luad.Jobs.create`."""
        return run(create_steps(Job, handler=handler, name=name, at=at, in_=in_, every=every,
            cron=cron, schedule=schedule, timezone=timezone, description=description, metadata=metadata,
            user=user, timeout=timeout, retry=retry, tags=tags, activate=activate, keep=keep,
            if_exists=if_exists, idempotency_key=idempotency_key, policies=policies,
        ))  # fmt: skip

    @staticmethod
    def get(id_or_name: str) -> Job:
        """Return the job with an id or a name. Raises `NotFound`, `ValidationError`."""
        return run(get_steps(Job, id_or_name))

    @staticmethod
    def get_all(*, include_dynamic: bool = False, **filters: object) -> list[Job]:
        """Return the jobs that match *status*, *health*, *tag*, *user*, *source* and *q*, by name."""
        return list(Jobs.iter(include_dynamic=include_dynamic, **filters))

    @staticmethod
    def iter(*, include_dynamic: bool = False, **filters: object) -> Iterator[Job]:
        """Yield the jobs of `get_all`, page by page."""
        cursor: str | None = None
        wanted = {**checked_filters(filters), "include_dynamic": include_dynamic}
        while True:
            jobs, cursor = run(page_steps(Job, cursor, wanted))
            yield from jobs
            if cursor is None:
                return
