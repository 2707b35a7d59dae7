"""The requests of clients: run, retry, cancel, pause, resume, create, change, delete, metadata.

Rule: frozen values only; `run_requests` and `dynamic_jobs` answer them, each with one `Reply`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from luad.core.model import JSON, Instant, Job, Run, Trigger, Wanted
from luad.core.values import dataclass


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The `Idempotency-Key` of a request and the hash of what it asks for."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TriggerRequested:
    """Run a job now, whatever its schedule says.

    *metadata* overrides the job's metadata for this run. *earlier*: the definition of an earlier revision
    that the run executes instead of the one in force.
    """

    request_id: str
    job_name: str
    trigger: Trigger
    metadata: Mapping[str, JSON] | None = None
    force: bool = False  # start even where the overlap policy says no
    key: AnswerKey | None = None
    earlier: Job | None = None
    is_remote: bool = False  # the client asked over TCP


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """Run the occurrence of an ended run again, as a new run."""

    request_id: str
    run: Run
    key: AnswerKey | None = None


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Stop an open run; *kill* skips the grace period."""

    request_id: str
    run_id: str
    kill: bool = False


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Stop scheduling a job, until *until* or a resume.

    *ends_with_revision*: the pause also ends when the job gets another revision.
    """

    request_id: str
    job_name: str
    reason: str = ""
    author: str = ""
    until: Instant | None = None
    ends_with_revision: bool = False


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """Schedule a paused job again. *catch_up*: which of the skipped occurrences run after all."""

    request_id: str
    job_name: str
    catch_up: Literal["none", "one", "all"] = "none"


@dataclass(frozen=True, slots=True)
class AcknowledgeRequested:
    """Keep alerts about a job back until it has succeeded, or until *until*."""

    request_id: str
    job_name: str
    author: str = ""
    note: str = ""
    until: Instant | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A requested dynamic job.

    *if_exists*: what to do if a dynamic job of that name exists. *pause_reason*: install the job paused,
    for that reason.
    """

    wanted: Wanted
    if_exists: Literal["error", "keep", "replace"] = "error"
    pause_reason: str | None = None


@dataclass(frozen=True, slots=True)
class CreateRequested:
    """Install dynamic jobs, each on its own; the reply has one `Created` for each."""

    request_id: str
    jobs: tuple[NewJob, ...]
    key: AnswerKey | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """The outcome of one `NewJob`. *error* is a code of the HTTP table if it was `refused`.

    *earlier_id*: the job that was over and gave its name to the new one.
    """

    job_name: str
    outcome: Literal["created", "kept", "replaced", "refused"]
    job_id: str = ""
    error: str | None = None
    message: str = ""
    hint: str = ""
    earlier_id: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRequested:
    """Give a dynamic job a new definition, made from the one of revision *based_on*.

    The engine refuses it with `conflict` if another revision is in force, and with `precondition_failed`
    if *if_match* is not the job's `version`.
    """

    request_id: str
    job_name: str
    job: Job
    based_on: str
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteRequested:
    """Remove a dynamic job. Its running runs end normally."""

    request_id: str
    job_name: str
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class MetadataRequested:
    """Write to a job's metadata; the reply's value is the metadata after the write.

    `merge` sets the keys of *values*, `patch` applies RFC 7396, `replace` sets all metadata to *values*.
    """

    request_id: str
    job_name: str
    values: Mapping[str, JSON]
    mode: Literal["merge", "patch", "replace"] = "merge"
    if_match: str | None = None
    is_remote: bool = False  # the client asked over TCP


Request: TypeAlias = (
    TriggerRequested
    | RetryRequested
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | AcknowledgeRequested
    | CreateRequested
    | ChangeRequested
    | DeleteRequested
    | MetadataRequested
)
