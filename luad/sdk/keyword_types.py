"""The types of the keywords that `Jobs.create` and `job.update` take.

Rule: types for editors and type checkers; nothing imports this module at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypedDict

from luad.sdk.user_core import UserCore
from luad.sdk.values import Cron, Every, Once, Retry

Length: TypeAlias = timedelta | float | str
"""Seconds, ``"10m"``, ``"1h 30m"``, or a timedelta."""


class Policies(TypedDict, total=False):
    """The keys of a job file that a call accepts unchanged; None means the default."""

    overlap: Literal["skip", "queue", "replace", "allow"] | None
    max_running: int | None
    catch_up: Literal["latest", "all", "none"] | None
    catch_up_window: Length | None
    jitter: Length | None
    on_lost: Literal["fail", "retry"] | None
    isolation: Literal["process", "shared"] | None
    queue: str | None
    pause_after_failures: int | None
    alert: Mapping[str, Any] | None
    env: Mapping[str, str] | None
    nice: int | None
    warm: bool | None
    log_level: Literal["debug", "info", "warning", "error", "critical"] | None
    limits: Mapping[str, Any] | None
    enabled: bool | None


class Changes(Policies, total=False):
    """The keywords of `job.update`."""

    handler: str | Callable[..., Any]
    at: datetime | str | None
    in_: Length | None
    every: Length | None
    cron: str | None
    schedule: Cron | Every | Once | Mapping[str, Any] | None
    timezone: str | None
    description: str | None
    user: str | UserCore | None
    timeout: Length | None
    retry: Retry | int | Mapping[str, Any] | None
    tags: Sequence[str] | None
