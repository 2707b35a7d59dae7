"""Tools to test handlers: a luad in the process of the test, on a clock that only the test moves.

`run_job` runs one handler as luad would. The pytest fixture `luad_jobs` (from luad's own plugin) is a
complete luad whose time the test moves.

Rule: engine, store, API and handler calls are the real ones; only the clock and the sending are replaced.
Names are imported at their first use, because every pytest on a machine with luad imports the plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luad.testing.world import JobResult, World, fake_user, run_job, run_job_sync

__all__ = ["JobResult", "World", "fake_user", "run_job", "run_job_sync"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'luad.testing' has no attribute {name!r}")
    from luad.testing import world  # noqa: PLC0415 - only the first use of a name needs it

    value: object = getattr(world, name)
    return value
