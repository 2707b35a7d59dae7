"""luad: a declarative job scheduler daemon.

This package holds the names that handlers and programs need, and imports each at its first use: `Jobs`,
`User`, `Job` and `current_job`, schedules and messages, and the exceptions. `luad.sync` has the same names
for plain functions.
"""

from __future__ import annotations

TYPE_CHECKING = False  # an import of `typing` costs 9 ms in every handler's process
if TYPE_CHECKING:
    from luad.errors import LuadError, ValidationError
    from luad.sdk.acting import acting_for
    from luad.sdk.exceptions import (
        DeliveryFailed,
        FileOwned,
        HandlerNotImportable,
        InvalidSchedule,
        NameTaken,
        NoJobError,
        NotAwaited,
        NotFound,
        NoUser,
        Unavailable,
    )
    from luad.sdk.job import Cancelled, Job, current_job
    from luad.sdk.jobs import Jobs
    from luad.sdk.link import connect
    from luad.sdk.params import params
    from luad.sdk.user import User
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

__version__ = "0.2.0"

_HOMES = {
    "luad.errors": ("LuadError", "ValidationError"),
    "luad.sdk.acting": ("acting_for",),
    "luad.sdk.exceptions": (
        "DeliveryFailed",
        "FileOwned",
        "HandlerNotImportable",
        "InvalidSchedule",
        "NameTaken",
        "NoJobError",
        "NoUser",
        "NotAwaited",
        "NotFound",
        "Unavailable",
    ),
    "luad.sdk.job": ("Cancelled", "Job", "current_job"),
    "luad.sdk.jobs": ("Jobs",),
    "luad.sdk.link": ("connect",),
    "luad.sdk.params": ("params",),
    "luad.sdk.user": ("User",),
    "luad.sdk.values": (
        "Cron",
        "Delivery",
        "Every",
        "File",
        "Image",
        "Once",
        "Retry",
        "Revision",
        "Run",
        "SentMessage",
        "Text",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Cancelled",
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
    "NoJobError",
    "NoUser",
    "NotAwaited",
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


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        if name.startswith("_") or name.islower():  # a submodule, or a look-up by Python itself
            raise AttributeError(f"module 'luad' has no attribute {name!r}")
        from luad.sdk.attributes import missing  # noqa: PLC0415 - only for a message

        raise missing(None, "luad", name)
    from importlib import import_module  # noqa: PLC0415 - only the first use of a name needs it

    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
