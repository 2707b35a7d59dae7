"""A few of the calls that `make syscalls` goes through one after the other: see `syscalls.py`."""

from __future__ import annotations

import pytest
from faults.syscalls import Group, Stage, attempt, groups

pytestmark = pytest.mark.needs("strace")

GROUPS = {group.name: group for group in groups()}
SAMPLE = [
    ("kill birth pwrite64", 9),  # the first transaction, before there is a log of writes
    ("kill commit fdatasync", 3),
    ("kill quarantine rename", 2),
    ("kill launch writev", 2),
    ("kill process clone", 1),
    ("EIO commit fdatasync", 2),
    ("EIO lasting commit fdatasync", 4),
    ("ENOSPC commit pwrite64", 20),
    ("EAGAIN lasting process clone", 1),
    ("EAGAIN lasting process clone3", 1),
    ("EAGAIN lasting process clone3", 4),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), SAMPLE, ids=str)
def test_a_system_call_that_ends_luad_or_fails_breaks_no_promise(
    stage: Stage, name: str, number: int
) -> None:
    group: Group = GROUPS[name]
    was_hit, wrong = attempt(stage, group, number)
    assert not wrong, wrong
    assert was_hit, "there was no such call: the sample is to be drawn anew"
