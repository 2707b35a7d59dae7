"""The parts of libraries that luad uses beyond their public interface: where, which, and within which versions."""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

ROOT = Path(__file__).parents[2]
USES = {
    r"^\s*(from|import) uvicorn": {"luad/api/transport/uvicorn_parts.py"},
    r"^\s*(from|import) alembic": {"luad/store/alembic_upgrade.py"},
}
PINNED = ("alembic", "uvicorn")


@pytest.mark.parametrize("pattern", USES)
def test_few_modules_use_the_inside_of_a_library(pattern: str) -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "luad").rglob("*.py")
        if path.parent.name != "versions"
        if re.search(pattern, path.read_text(), re.MULTILINE)
    }
    assert found == USES[pattern]


@pytest.mark.parametrize("name", PINNED)
def test_such_a_library_has_an_upper_bound(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (line,) = [each for each in project["dependencies"] if each.startswith(name)]
    bound = re.search(r",<(\d+)\.(\d+)$", line)
    assert bound is not None, line
    installed = tuple(int(each) for each in version(name).split(".")[:2])
    assert installed < (int(bound[1]), int(bound[2]))


def test_uvicorn_has_the_parts_that_the_connection_extends() -> None:
    parameters = list(inspect.signature(H11Protocol.__init__).parameters)
    assert parameters == ["self", "config", "server_state", "app_state", "_loop"]
    methods = (
        "connection_made", "connection_lost", "data_received", "eof_received", "pause_writing",
        "resume_writing", "on_response_complete", "send_400_response", "shutdown",
        "_unset_keepalive_if_required",
    )  # fmt: skip
    assert [each for each in methods if each not in vars(H11Protocol)] == []
    text = inspect.getsource(H11Protocol)
    for name in ("app_state", "client", "conn", "connections", "cycle", "flow", "loop", "scope"):
        assert f"self.{name}" in text, name
    cycle = inspect.getsource(RequestResponseCycle)
    for name in ("disconnected", "keep_alive", "response_complete", "response_started"):
        assert f"self.{name}" in cycle, name
    assert set(vars(ServerState())) >= {"connections", "tasks"}
    for name in ("pause_reading", "resume_reading", "read_paused"):
        assert name in inspect.getsource(FlowControl), name
    assert {"http", "lifespan", "loop", "h11_max_incomplete_event_size"} <= set(
        inspect.signature(Config.__init__).parameters
    )


def test_alembic_finds_the_steps_of_an_upgrade() -> None:
    from alembic.script import ScriptDirectory

    parameters = list(inspect.signature(ScriptDirectory._upgrade_revs).parameters)
    assert parameters == ["self", "destination", "current_rev"]
