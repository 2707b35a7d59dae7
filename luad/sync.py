"""The names of `luad` as blocking calls, for plain functions, threads and scripts."""

from luad.errors import LuadError, ValidationError
from luad.sdk.acting import acting_for
from luad.sdk.blocking import Job, Jobs, User
from luad.sdk.exceptions import (
    DeliveryFailed,
    FileOwned,
    HandlerNotImportable,
    InvalidSchedule,
    NameTaken,
    NotFound,
    NoUser,
    Unavailable,
)
from luad.sdk.job import JobCore, running_job
from luad.sdk.job import current_job as _current_job
from luad.sdk.link import connect
from luad.sdk.params import params
from luad.sdk.values import (
    Cron,
    Delivery,
    Every,
    File,
    Image,
    Once,
    Retry,
    Revision,
    Run,
    SentMessage,
    Text,
)

__all__ = [
    "Cron",
    "Delivery",
    "DeliveryFailed",
    "Every",
    "File",
    "FileOwned",
    "HandlerNotImportable",
    "Image",
    "InvalidSchedule",
    "Job",
    "Jobs",
    "LuadError",
    "NameTaken",
    "NoUser",
    "NotFound",
    "Once",
    "Retry",
    "Revision",
    "Run",
    "SentMessage",
    "Text",
    "Unavailable",
    "User",
    "ValidationError",
    "acting_for",
    "connect",
    "current_job",
    "params",
]


def current_job() -> Job:
    """Return the job whose handler runs in this process.

    Raises `NoJobError` outside a handler.
    """
    job: JobCore = running_job() or _current_job()
    return job.with_face(Job)


def __getattr__(name: str) -> object:
    if name.startswith("_") or name.islower():  # a look-up by Python itself
        raise AttributeError(f"module 'luad.sync' has no attribute {name!r}")
    from luad.sdk.attributes import missing  # noqa: PLC0415 - only for a message

    raise missing(None, "luad", name)
