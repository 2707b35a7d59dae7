"""An empty text where a name belongs: most often a variable of the shell that is not set."""

from __future__ import annotations

from typing import Any

import pytest

COMMANDS = [
    ["show", ""],
    ["run", ""],
    ["pause", ""],
    ["resume", ""],
    ["delete", "--yes", ""],
    ["cancel", ""],
    ["retry", ""],
    ["logs", ""],
    ["users", "show", ""],
    ["users", "remove", "--yes", ""],
    ["history", ""],
    ["next", ""],
    ["send", "", "hello"],
    ["token", "revoke", ""],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_empty_name_is_refused_before_anything_is_asked_of_the_daemon(
    luad: Any, peer: Any, command: list[str]
) -> None:
    result = luad(*command)
    assert result.code == 2, result
    assert "the name is empty" in result.err
    assert all(each.path.rstrip("/") == each.path for each in peer.asked)
