"""luad.handlers.disk with the disk at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luad.handlers.disk import DiskFullError, usage
from luad.sdk import Job

MakeJob = Callable[..., Job]


def test_it_counts_as_df_does(make_job: MakeJob, tmp_path: Path) -> None:
    result = usage(make_job(path=str(tmp_path), threshold_percent=100))
    disk = os.statvfs(tmp_path)
    used = disk.f_blocks - disk.f_bfree
    assert result["used_percent"] == pytest.approx(100 * used / (used + disk.f_bavail), abs=0.5)
    assert result["free_bytes"] == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)
    assert result["path"] == str(tmp_path)


def test_it_fails_above_the_threshold(make_job: MakeJob) -> None:
    with pytest.raises(DiskFullError, match=r"^/ is [\d.]+ % full, .* the threshold is 0 %$"):
        usage(make_job(threshold_percent=0))


def test_a_file_system_without_inodes_has_no_share_of_them(make_job: MakeJob) -> None:
    assert usage(make_job(path="/proc", threshold_percent=100))["inodes_used_percent"] is None


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"path": "/no/such"}, "metadata.path: /no/such: No such file"),
        ({"threshold_percent": 101}, "metadata.threshold_percent: 101 is outside 0 to 100"),
        ({"threshold_percent": "90"}, "metadata.threshold_percent: a number is needed"),
        ({"threshold_percent": float("nan")}, "metadata.threshold_percent: nan is outside"),
        ({"treshold_percent": 80}, "did you mean `threshold_percent`"),
    ],
)
def test_a_wrong_parameter_is_named(make_job: MakeJob, metadata: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        usage(make_job(**metadata))
