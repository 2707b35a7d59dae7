"""The documentation says what is: links, tables and events are compared with what they speak of."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages import PAGES, PROJECT, broken_links

from luad.cli import COMMANDS
from luad.cli.terminal.failure import ExitCode

DOCS = sorted((PROJECT / "docs").rglob("*.md"))
GENERATED = {"mutants", "python-api"}
"""Pages whose cells and texts come from code."""

SPEAKERS = {"emit", "log", "_log", "debug", "info", "warning", "error", "critical"}


def test_the_reference_tables_are_what_the_schemas_say() -> None:
    script = PROJECT / "docs/reference/tables.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}: run python docs/reference/tables.py"


def test_the_pages_of_both_apis_are_what_docstrings_and_the_route_table_say() -> None:
    script = PROJECT / "docs/reference/api.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}: run python docs/reference/api.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_a_page_begins_with_its_use_and_has_short_cells(page: Path) -> None:
    """A page says first what its reader knows, or has done, afterwards."""
    title, _, first, *rest = page.read_text().splitlines()
    assert title.startswith("# ")
    assert first.startswith(("After this page ", "After this tutorial "))
    cells = [cell for line in rest if line.startswith("|") for cell in line.split(" |")]
    if page.stem not in GENERATED:
        assert [cell for cell in cells if len(cell.split()) > 25] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_a_page_names_its_actors_and_no_tests(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    if page.stem not in GENERATED:
        assert re.findall(r"(?i)\b(?:somebody|nobody|whoever|whom|people)\b", text) == []
    assert re.findall(r"::test_\w+", text) == []


def test_every_event_of_the_log_is_documented_and_every_documented_event_is_said() -> None:
    page = (PROJECT / "docs/reference/logs.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", page, re.MULTILINE))
    said = {event for path in (PROJECT / "luad").rglob("*.py") for event in _events(path)}
    assert said - documented == set()
    assert documented - said == set()


def test_every_command_and_exit_status_is_documented() -> None:
    page = (PROJECT / "docs/reference/cli.md").read_text()
    assert set(re.findall(r"^\| `luad (\w+)", page, re.MULTILINE)) == set(COMMANDS) - {"help"}
    table = page.split("## Exit status")[1]
    cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    documented = {int(number) for cell in cells for number in cell.split(",")}
    assert documented == {int(code) for code in ExitCode}


def _events(path: Path) -> Iterator[str]:
    """Dotted names handed to whatever logs, and those of fields made by hand."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "event":
                    yield from _names([value])
        if isinstance(node, ast.Call) and _name_of(node.func) in {*SPEAKERS, "Log"}:
            yield from _names(node.args)


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _names(nodes: list[ast.expr]) -> Iterator[str]:
    for node in (each for root in nodes for each in ast.walk(root)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^[a-z_]+\.[a-z_]+$", node.value)
