"""Whether a handler's module is there is asked without running any of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from luad.runner.module_presence import missing_module


@pytest.mark.parametrize(
    ("handler", "missing"),
    [
        ("reports:daily", ""),
        ("team.nightly:run", ""),
        ("luad.handlers.shell:run", ""),
        ("json:dumps", ""),
        ("sys:exit", ""),
        ("no_such:run", "no_such"),
        ("team.weekly:run", "team.weekly"),
        ("reports.deeper:run", "reports.deeper"),
        ("luad.handlers.no_such:run", "luad.handlers.no_such"),
        ("no-such-entry-point", "no-such-entry-point"),
    ],
)
def test_the_part_that_is_missing_is_named(tmp_path: Path, handler: str, missing: str) -> None:
    (tmp_path / "reports.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "nightly.py").write_text("raise SystemExit(1)\n")
    assert missing_module(handler, [str(tmp_path)]) == missing
