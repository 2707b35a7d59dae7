"""The keywords of `Jobs.create` and `job.update`.

Rule: constants only.
"""

from __future__ import annotations

from typing import Final

WHEN: Final = ("at", "in_", "every", "cron", "schedule")
"""The keywords for the schedule; a call has exactly one of them."""

POLICIES: Final = (
    "overlap",
    "max_running",
    "catch_up",
    "catch_up_window",
    "jitter",
    "on_lost",
    "isolation",
    "queue",
    "pause_after_failures",
    "alert",
    "env",
    "nice",
    "warm",
    "log_level",
    "limits",
    "enabled",
)
"""The keys of a job file that a call accepts unchanged; `luad.sdk.keyword_types` has their types."""

CHANGEABLE: Final = (
    *("handler", *WHEN, "timezone", "description", "user", "timeout", "retry", "tags"),
    *POLICIES,
)
"""The keywords of `job.update`."""

CREATABLE: Final = (
    *CHANGEABLE,
    *("name", "metadata", "activate", "keep", "if_exists", "idempotency_key"),
)
"""The keywords of `Jobs.create`."""
