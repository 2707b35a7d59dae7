"""A real context object, as a run would have it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from luad.sdk import Job

NOON = datetime(2025, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def make_job() -> Callable[..., Job]:
    def make(at: datetime = NOON, **metadata: Any) -> Job:
        instant = int(at.timestamp() * 1000)
        return Job(
            name="sample",
            run_id="run_0000000000000000000000SELF",
            scheduled_for_ms=instant,
            started_at_ms=instant,
            metadata=metadata,
        )

    return make
