"""Failures that a repetition cannot cure, and those that it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.runner_harness import Harness, config

from luad.core.model import EndKind

BROKEN = {
    "uncallable": "def needs_two(job, user): ...\ndef yields(job):\n    yield\nnumber = 3\n",
    "uncallable_syntax": "def run(:\n",
    "uncallable_import": "import no_such_package_of_anybody\n",
    "uncallable_name": "from json import no_such_name\n",
    "uncallable_world": "raise ConnectionError('the database does not answer')\n",
}


@pytest.fixture
async def runner(tmp_path: Path) -> Any:
    handlers = tmp_path / "handlers"
    handlers.mkdir()
    for name, source in BROKEN.items():
        (handlers / f"{name}.py").write_text(source)
    made = config(tmp_path)
    harness = Harness(config(tmp_path, handlers_path=(handlers, *made.handlers_path)))
    await harness.runner.start()
    yield harness
    await harness.runner.close()


@pytest.mark.parametrize(
    "handler",
    [
        "plain:no_such_function",
        "ends:NotAnException",
        "no_such_module:run",
        "ends.deeper:run",
        "no-such-entry-point",
        "uncallable:needs_two",
        "uncallable:yields",
        "uncallable:number",
        "uncallable_syntax:run",
        "uncallable_import:run",
        "uncallable_name:run",
    ],
)
async def test_a_handler_that_cannot_be_called_is_not_worth_a_repetition(
    runner: Harness, handler: str
) -> None:
    finished = await runner.run(handler)
    assert finished.ending.kind is EndKind.NOT_STARTED
    assert not finished.ending.is_retryable


@pytest.mark.parametrize(
    ("handler", "metadata"),
    [
        ("shell:run", {}),
        ("shell:run", {"command": 5}),
        ("shell:run", {"comand": "true"}),
        ("http:check", {"url": "ftp://example.org"}),
        ("http:check", {"url": "http://127.0.0.1:1/", "headers": {"A": "b\nc"}}),
        ("files:prune", {"path": "/", "keep": 1}),
        ("disk:usage", {"threshold_percent": 101}),
        ("sqlite:backup", {"keep": 0}),
        ("report:summary", {"timezone": "Mars/Base"}),
        ("message:send", {"text": ""}),
        ("message:send", {"text": "for nobody"}),
    ],
)
async def test_bad_metadata_of_a_shipped_handler_are_not_worth_a_repetition(
    runner: Harness, handler: str, metadata: dict[str, Any]
) -> None:
    finished = await runner.run(f"luad.handlers.{handler}", metadata=metadata)
    assert finished.ending.kind in {EndKind.RAISED, EndKind.NOT_STARTED}
    assert not finished.ending.is_retryable, finished.ending.error


@pytest.mark.parametrize(
    ("handler", "metadata"),
    [
        ("ends:raises", {}),
        ("ends:raises", {"n": 2}),
        ("uncallable_world:run", {}),
        ("luad.handlers.shell:run", {"command": "exit 3"}),
        ("luad.handlers.shell:run", {"command": "true", "cwd": "/no/such/folder"}),
        ("luad.handlers.disk:usage", {"path": "/no/such/folder"}),
    ],
)
async def test_what_may_be_otherwise_later_is_worth_a_repetition(
    runner: Harness, handler: str, metadata: dict[str, Any]
) -> None:
    finished = await runner.run(handler, metadata=metadata)
    assert finished.ending.is_retryable
