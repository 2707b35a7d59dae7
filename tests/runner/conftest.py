"""A runner on a folder of its own, with the handlers of `handlers_pkg`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.runner_harness import Harness, config


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Harness]:
    harness = Harness(config(tmp_path))
    await harness.runner.start()
    yield harness
    await harness.runner.close()
    assert not harness.runner.running
