"""For people who test their own handlers: a luad in the test's own process, on a clock that stands still.

`run_job` runs one handler as luad would; the pytest fixture `luad_jobs` (from the plugin that comes with luad)
is a whole luad whose time moves when the test says so.

Rule: the real engine, store, API and handler calls; only the clock and the sending are other ones. Names
are imported when they are first used: every pytest on this machine imports the plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luad.testing.world import JobResult, World, fake_user, run_job, run_job_sync

__all__ = ["JobResult", "World", "fake_user", "run_job", "run_job_sync"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'luad.testing' has no attribute {name!r}")
    from luad.testing import world  # noqa: PLC0415 - only the first use of a name pays

    value: object = getattr(world, name)
    return value
