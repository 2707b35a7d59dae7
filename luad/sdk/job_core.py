"""The core of a job: its values, and the requests of its methods.

Rule: cheap to import, because every handler's process pays for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from luad.sdk.ask import Ask
from luad.sdk.link import segment
from luad.sdk.readonly import ReadOnlyDict, freeze, thaw
from luad.sdk.running import running_job, set_current_job
from luad.sdk.translating import Guarded

TYPE_CHECKING = False  # `typing` and `logging` cost 20 ms, which every handler would pay
if TYPE_CHECKING:
    from collections.abc import Mapping
    from logging import Logger
    from typing import Any, Self, TypeVar

    from luad.sdk.ask import Steps
    from luad.sdk.values import Revision, Run

    J = TypeVar("J", bound="JobCore")

__all__ = ["Cancelled", "JobCore", "mark_cancelled", "running_job", "set_current_job"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


class Cancelled(BaseException):
    """Raised inside a blocking handler when its run is stopped.

    The run is cancelled, replaced or out of time, or the daemon stops before the run has ended.

    ``finally`` blocks and context managers run. After the grace period the run is killed. An
    ``async def`` handler gets `asyncio.CancelledError` instead.
    """


class JobCore(Guarded):
    """The attributes of a job, the same in both faces.

    Always: *id*, *name*, *description*, *user_id*, *tags*, *metadata* (read-only;
    `update_metadata` writes), *revision*.

    In a handler: *run_id*, *attempt* (from 1), *max_attempts*, *trigger_kind*, *scheduled_for*
    (the instant that the schedule names), *fire_at* (that plus jitter), *started_at*, *deadline*
    (when the run is stopped; year 9999 without a time limit), *missed_count* (older occurrences
    that this run replaces), `log`, `cancelled`. All instants are aware datetimes in UTC.

    From `Jobs`: *handler*, *schedule*, *status*, *active*, *health*, *dynamic*, *next_run_at*,
    *last_run* and *summary*, as they were when the job was fetched.
    """

    id: str
    name: str
    description: str
    metadata: ReadOnlyDict
    scheduled_for: datetime
    fire_at: datetime
    started_at: datetime
    deadline: datetime
    attempt: int
    max_attempts: int
    run_id: str
    trigger_kind: str
    missed_count: int
    revision: str
    tags: tuple[str, ...]
    user_id: str | None

    _kind = "job"
    _known = frozenset(__annotations__)

    def __init__(
        self,
        *,
        name: str,
        run_id: str,
        scheduled_for_ms: int,
        started_at_ms: int,
        id: str = "",  # noqa: A002 - the argument is the attribute
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        fire_at_ms: int | None = None,
        deadline_ms: int | None = None,
        attempt: int = 1,
        max_attempts: int = 1,
        trigger: str = "manual",
        missed_count: int = 0,
        revision: str = "",
        tags: tuple[str, ...] = (),
        user_id: str | None = None,
    ) -> None:
        vars(self).update(
            name=name,
            id=id,
            description=description,
            metadata=freeze(dict(metadata or {})),
            scheduled_for=_instant(scheduled_for_ms),
            fire_at=_instant(scheduled_for_ms if fire_at_ms is None else fire_at_ms),
            started_at=_instant(started_at_ms),
            deadline=_NEVER if deadline_ms is None else _instant(deadline_ms),
            attempt=attempt,
            max_attempts=max_attempts,
            run_id=run_id,
            trigger_kind=trigger,
            missed_count=missed_count,
            revision=revision,
            tags=tuple(tags),
            user_id=user_id,
        )
        self._is_cancelled = False
        self._view: Mapping[str, Any] = {}
        self._sent: dict[str, int] = {}

    @classmethod
    def from_view(cls, view: Mapping[str, Any]) -> Self:
        """Return the job of an API answer."""
        job = cls(
            name=view["name"],
            id=view["id"],
            run_id="",
            scheduled_for_ms=0,
            started_at_ms=0,
            description=view.get("description", ""),
            metadata=view.get("metadata"),
            revision=view.get("revision", ""),
            tags=tuple(view.get("tags", ())),
            user_id=view.get("user_id"),
        )
        job._view = view
        return job

    def with_face(self, face: type[J]) -> J:
        """Return this job with another face; both share one state."""
        other = face.__new__(face)
        other.__dict__ = self.__dict__
        return other

    # --- values of the API's answer ---

    def _shown(self, key: str) -> Any:
        """Return a value of the API's answer. Raises `NoAttribute` if there is none."""
        if key not in self._view and not self.run_id:
            raise _not_shown(f"the job {self.name} no longer exists, so it has no `{key}`")
        if key not in self._view:
            raise _not_shown(
                f"a job in its handler has no `{key}`; await job.refresh() (job.refresh() in a "
                "plain function) gets it"
            )
        return self._view[key]

    @property
    def handler(self) -> str:
        """The function that the runs call."""
        return str(self._shown("handler"))

    @property
    def schedule(self) -> Mapping[str, Any]:
        """The schedule, as in a job file."""
        schedule: Mapping[str, Any] = self._shown("schedule")
        return schedule

    @property
    def status(self) -> str:
        """``active``, ``paused`` or ``completed``."""
        return str(self._shown("status"))

    @property
    def active(self) -> bool:
        """True if the job is scheduled."""
        return bool(self._shown("active"))

    @property
    def health(self) -> str:
        """``ok``, ``failing``, ``stale`` or ``never_run``."""
        return str(self._shown("health"))

    @property
    def dynamic(self) -> bool:
        """True if the job was created at run time."""
        return bool(self._shown("dynamic"))

    @property
    def next_run_at(self) -> datetime | None:
        """The next fire time, or None."""
        text = self._shown("next_run_at")
        return None if text is None else datetime.fromisoformat(text)

    @property
    def last_run(self) -> Mapping[str, Any] | None:
        """The newest run, in short."""
        last: Mapping[str, Any] | None = self._shown("last_run")
        return last

    @property
    def summary(self) -> str:
        """A sentence that says when the job runs, with the zone."""
        return str(self._shown("summary"))

    # --- while it runs ---

    @property
    def log(self) -> Logger:
        """The logger ``luad.job.<name>``, whose records go into the log of the run."""
        import logging

        logger = logging.getLogger(f"luad.job.{self.name}")
        # `logging.config.dictConfig` in a handler silences all loggers made before it.
        logger.disabled = False
        return logger

    @property
    def cancelled(self) -> bool:
        """True while the run is being stopped."""
        return self._is_cancelled

    def to_dict(self) -> dict[str, Any]:
        """Return the job as JSON: the API's view, or in a handler the values of the run.

        Instants are RFC 3339.
        """
        if self._view and not self.run_id:
            return {**self._view, "metadata": thaw(self.metadata)}
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "run_id": self.run_id,
            "trigger": self.trigger_kind,
            "attempt": self.attempt,
            "max_attempts": self.max_attempts,
            "scheduled_for": _rfc3339(self.scheduled_for),
            "fire_at": _rfc3339(self.fire_at),
            "started_at": _rfc3339(self.started_at),
            "deadline": None if self.deadline == _NEVER else _rfc3339(self.deadline),
            "missed_count": self.missed_count,
            "revision": self.revision,
            "tags": list(self.tags),
            "user_id": self.user_id,
            "metadata": thaw(self.metadata),
        }

    def __repr__(self) -> str:
        if not self.run_id:
            return f"<Job {self.name}>"
        return f"<Job {self.name} {self.run_id} attempt {self.attempt}>"

    # --- requests, step by step ---

    @property
    def _path(self) -> str:
        return f"/jobs/{segment(self.id or self.name, 'name')}"

    def _take(self, view: Mapping[str, Any]) -> None:
        self._view = view
        vars(self).update(
            name=view["name"],
            description=view["description"],
            metadata=freeze(thaw(dict(view["metadata"]))),
            tags=tuple(view["tags"]),
            user_id=view.get("user_id"),
        )
        if not self.run_id:  # a run keeps the revision that it was started with
            vars(self).update(revision=view["revision"])

    def _refresh(self) -> Steps[None]:
        self._take((yield Ask("GET", self._path)))

    def _write_metadata(
        self, method: str, *values: Mapping[str, Any], kind: str = "application/json"
    ) -> Steps[None]:
        from luad.sdk.checking import json_object

        body: dict[str, Any] = {}
        for each in values:
            body |= json_object(each, "metadata")
        ask = Ask(method, f"{self._path}/metadata", body, headers={"Content-Type": kind})
        written = yield ask
        vars(self).update(metadata=freeze(written))

    def _trigger(
        self, metadata: Mapping[str, Any] | None, revision: str | None, *, force: bool
    ) -> Steps[Run]:
        from luad.sdk.values import Run

        body: dict[str, Any] = {"force": force}
        if revision is not None:
            body["revision"] = revision
        if metadata is not None:
            from luad.sdk.checking import json_object

            body["metadata"] = json_object(metadata, "metadata")
        return Run((yield Ask("POST", f"{self._path}/trigger", body)))

    def _pause(self, reason: str | None, until: Any) -> Steps[None]:
        body: dict[str, Any] = {"reason": "" if reason is None else reason}
        if until is not None:
            from luad.sdk.due import until_steps

            body["until"] = yield from until_steps(until, self.user_id)
        self._take((yield Ask("POST", f"{self._path}/deactivate", body)))

    def _update(self, changes: Mapping[str, Any]) -> Steps[None]:
        from luad.sdk.create import change_steps

        body = yield from change_steps(self.user_id, changes)
        self._take((yield Ask("PATCH", self._path, body)))

    def _snooze(self, until: Any) -> Steps[None]:
        from luad.sdk.due import snooze_steps

        self._take((yield from snooze_steps(self._path, until)))

    def _resume(self, catch_up: str) -> Steps[None]:
        self._take((yield Ask("POST", f"{self._path}/activate", {"catch_up": catch_up})))

    def _delete(self) -> Steps[None]:
        from luad.sdk.exceptions import FileOwned

        try:
            yield Ask("DELETE", self._path)
        except FileOwned:
            own = running_job()
            if own is None or not own.run_id or own.id != self.id:
                raise
        else:
            return
        reason = f"deleted itself in {own.run_id}; the file still declares it"
        body = {"reason": reason, "until_change": True}
        yield Ask("POST", f"{self._path}/deactivate", body)
        own.log.warning(
            "a file declares %s, so it is paused, not deleted, until the file changes. "
            "Delete the file, or run  luad resume %s",
            self.name,
            self.name,
        )

    def _revisions(self) -> Steps[list[Revision]]:
        from luad.sdk.values import Revision

        answer = yield Ask("GET", f"{self._path}/revisions")
        return [Revision(each) for each in answer["revisions"]]

    def _restore(self, revision: Any) -> Steps[None]:
        wanted = getattr(revision, "revision", revision)
        self._take((yield Ask("POST", f"{self._path}/restore", {"revision": wanted})))

    def _runs(self, limit: int, offset: int, status: str | None) -> Steps[list[Run]]:
        from luad.sdk.values import Run

        query = {"limit": limit, "offset": offset or None, "status": status}
        answer = yield Ask("GET", f"{self._path}/runs", query=query)
        return [Run(each) for each in answer["runs"]]

    def _need_user(self) -> str:
        if self.user_id is None:
            from luad.sdk.exceptions import NoUser

            raise NoUser(
                f"the job {self.name} has no user",
                hint="write  user: ID  into its file, or pass user= to Jobs.create; "
                "User.get(job.metadata[...]) finds another user",
            )
        return self.user_id


def mark_cancelled(job: JobCore) -> None:
    """Mark *job* as being stopped. The runner calls this, not handlers."""
    job._is_cancelled = True  # noqa: SLF001 - read-only to handlers, written here


def _not_shown(message: str) -> AttributeError:
    from luad.sdk.exceptions import NoAttribute

    return NoAttribute(message)


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
