"""The log of a run: from which level on, in which format, and each record once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support.runner_harness import Harness

from luad.testing import run_job_sync


@pytest.mark.parametrize(
    ("level", "messages"),
    [
        ("debug", ["debug", "info", "warning"]),
        ("info", ["info", "warning"]),
        ("warning", ["warning"]),
        ("error", []),
    ],
)
async def test_a_job_keeps_records_from_its_log_level_on(
    runner: Harness, level: str, messages: list[str]
) -> None:
    finished = await runner.run("loggers:quiet", log_level=level)
    assert finished.messages == messages


@pytest.mark.parametrize(
    ("handler", "messages"),
    [
        ("verbose_and_formatted", ["[DEBUG] debug", "[INFO] info", "[WARNING] warning"]),
        ("level_only", ["debug", "info", "warning"]),
        ("by_force", ["warning"]),
    ],
)
async def test_basic_config_takes_effect_and_each_record_appears_once(
    runner: Harness, handler: str, messages: list[str]
) -> None:
    finished = await runner.run(f"loggers:{handler}")
    assert finished.messages == messages
    assert {line["stream"] for line in finished.lines} == {"log"}


async def test_handlers_of_basic_config_that_write_elsewhere_stay(
    runner: Harness, tmp_path: Path
) -> None:
    file = tmp_path / "own.log"
    finished = await runner.run("loggers:to_stdout_and_a_file", metadata={"file": str(file)})
    assert finished.messages == ["info", "warning"]
    assert file.read_text().split() == ["INFO:mine:info", "WARNING:mine:warning"]


async def test_an_exception_keeps_its_own_key_whatever_the_format(runner: Harness) -> None:
    (line,) = (await runner.run("loggers:an_exception")).lines
    assert line["message"] == "caught (mine)"
    assert "KeyError" in line["exception"]


async def test_wrong_arguments_of_basic_config_are_refused_as_always(runner: Harness) -> None:
    ending = (await runner.run("loggers:wrong")).ending
    assert ending.error is not None
    assert ending.error.type == "ValueError"


def configures_logging(_job: object) -> None:
    logging.basicConfig(level="DEBUG", format="%(levelname)s %(message)s")
    logging.getLogger("mine").debug("seen")


def test_a_test_sees_what_a_run_would_show_and_keeps_its_own_logging() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.basicConfig)
    run = run_job_sync(configures_logging)
    assert [line["message"] for line in run.logs] == ["DEBUG seen"]
    assert (root.handlers, root.level, logging.basicConfig) == before
