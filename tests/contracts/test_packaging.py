"""The sdist has every folder that its tests need."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
USED = re.compile(r'^(?:from|import) (\w+)|"-m", "(\w+)', re.MULTILINE)


def test_the_sdist_has_each_folder_that_its_tests_import() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    packed = set(build["targets"]["sdist"]["include"])
    used = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for names in USED.findall(path.read_text())
        for name in names
    }
    own = {each.name for each in ROOT.iterdir() if each.is_dir()}
    assert {"luad", "demo", "tests"} <= used & own
    assert used & own <= packed
