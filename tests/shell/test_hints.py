"""Hints and helps name flags that are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from luad.cli import COMMANDS, command_group

PROJECT = Path(__file__).parents[2]
MODULES = sorted((PROJECT / "luad").rglob("*.py"))


def all_flags() -> set[str]:
    group = command_group()
    found = {name for param in group.params for name in param.opts}
    for name in COMMANDS:
        command = group.get_command(None, name)  # type: ignore[arg-type] # it looks at no context
        assert command is not None, name
        found |= {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    return found | {"--help", "--luad-check"}  # the last one is pytest's


def texts_of(path: Path) -> Iterator[str]:
    """The strings of a module, f-strings without what they insert."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_flag_in_a_text_exists() -> None:
    known = all_flags()
    named = {
        (str(path.relative_to(PROJECT)), flag)
        for path in MODULES
        for text in texts_of(path)
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)
    }
    assert {each for each in named if each[1] not in known} == set()
