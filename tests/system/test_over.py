"""Reminders that are over: their names, their places, and what is still known of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from live import LiveDaemon

HANDLER = "def bad(job):\n    raise RuntimeError('no')\n\n\ndef good(job):\n    return 1\n"
CREATE = ("--handler", "m:bad", "--in", "0s", "--user", "me")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveDaemon]:
    daemon = LiveDaemon(tmp_path, env={"LUAD_DYNAMIC_MAX_JOBS_PER_USER": "2"})
    daemon.write_handler("m", HANDLER)
    with daemon:
        daemon.luad("users", "add", "me", "--dynamic")
        yield daemon


def test_reminders_that_failed_do_not_use_up_the_places_of_their_user(live: LiveDaemon) -> None:
    for number in range(3):
        live.luad("create", f"bad-{number}", *CREATE)
        live.wait_for("run.ended", job=f"bad-{number}")
    made = live.json("create", "bad-0", *CREATE[:3], "10m", *CREATE[4:], "--if-exists", "keep")
    listed = {each["id"]: each for each in live.json("list", "-a")["jobs"]}
    assert (made["created"], made["name"]) == (True, "bad-0")
    earlier = listed[made["earlier_id"]]
    assert (earlier["name"], earlier["status"], earlier["holds_name"]) == (
        "bad-0",
        "completed",
        False,
    )
    assert live.json("show", "bad-0")["id"] == made["id"]
