"""Processes that a run leaves behind are ended, told and counted, also when its keeper was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.runner_harness import Harness, config, is_gone

from luad.core.model import EndKind

KINDS = ["in_session", "out_of_session", "without_environment", "forked_twice"]


async def pids_of(runner: Harness, key: tuple[str, int]) -> list[int]:
    await runner.line_of(key)
    messages = [line["message"] for line in runner.lines[key]]
    return [int(message) for message in messages if message.isdigit()]


def environments() -> list[bytes]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found.append((folder / "environ").read_bytes())
            except OSError:
                continue
    return found


# --- a handler that kills its keeper -------------------------------------------------------------


@pytest.mark.parametrize("forker", [False, True])
@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), KINDS])
async def test_80_what_a_dead_keeper_leaves_behind_is_ended_before_its_run_is_over(
    runner: Harness, kinds: list[str], forker: bool
) -> None:
    await runner.both_keepers()
    other = runner.launch("plain:waits_to_be_stopped")
    await runner.line_of(other)
    metadata = {"kinds": kinds, "forker": forker}
    key = runner.launch("leaves:kills_its_keeper", metadata=metadata)
    pids = await pids_of(runner, key)
    assert len(pids) == len(kinds)
    finished = await runner.end_of(key)
    assert finished.ending.kind is EndKind.LOST
    assert [pid for pid in pids if not is_gone(pid)] == []
    assert finished.ending.left_processes == len(kinds)
    told = finished.messages[-1]
    assert all(f"(pid {pid})" in told for pid in pids), told
    assert other not in runner.ended, "another run must not be hit"
    assert (await runner.run("plain:no_argument")).result == "called without"
    runner.runner.stop(*other)
    assert (await runner.end_of(other)).ending.kind is EndKind.CANCELLED


async def test_80_a_process_that_is_another_one_every_moment_is_ended(runner: Harness) -> None:
    key = runner.launch("leaves:kills_its_keeper", metadata={"kinds": ["hopping"]})
    await runner.end_of(key)
    assert not [each for each in environments() if f"HOPPER={key[0]}".encode() in each]


async def test_80_whoever_kills_keeper_and_spawner_leaves_nothing_that_names_the_run(
    runner: Harness,
) -> None:
    metadata = {"kinds": ["in_session", "out_of_session"], "spawner_too": True}
    key = runner.launch("leaves:kills_its_keeper", metadata=metadata)
    pids = await pids_of(runner, key)
    assert (await runner.end_of(key)).ending.kind is EndKind.LOST
    assert [pid for pid in pids if not is_gone(pid)] == []
    assert (await runner.run("plain:no_argument")).result == "called without"


async def test_80_a_process_without_a_sign_of_its_run_is_remembered(runner: Harness) -> None:
    metadata = {"kinds": ["out_of_session", "without_environment"]}
    key = runner.launch("leaves:kills_its_keeper", metadata=metadata)
    _, unmarked = await pids_of(runner, key)
    await runner.end_of(key)
    orphans = runner.runner.orphans
    assert orphans.count == 1
    assert [(run, each.pid, each.name) for run, each in orphans.latest] == [
        (key[0], unmarked, "sleep")
    ]


async def test_80_a_keeper_that_another_process_kills_leaves_nothing(runner: Harness) -> None:
    """The kernel does so when memory is short."""
    key = runner.launch("stubborn:daemonises", metadata={"stay": True})
    await runner.until(lambda: key in runner.lines)
    grandchild = int(runner.lines[key][0]["message"])
    os.kill(runner.keeper_of(key), signal.SIGKILL)
    assert (await runner.end_of(key)).ending.kind is EndKind.LOST
    assert is_gone(grandchild)


async def test_80_nothing_is_left_when_luad_stops_in_order(tmp_path: Path) -> None:
    harness = Harness(config(tmp_path))
    await harness.runner.start()
    key = harness.launch("stubborn:daemonises", metadata={"stay": True})
    await harness.until(lambda: key in harness.lines)
    grandchild = int(harness.lines[key][0]["message"])
    os.kill(harness.keeper_of(key), signal.SIGKILL)
    await harness.runner.close()
    assert is_gone(grandchild)


# --- a handler that ends before its processes ----------------------------------------------------


@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), KINDS])
async def test_67_the_log_names_the_processes_that_were_left_and_the_run_counts_them(
    runner: Harness, kinds: list[str]
) -> None:
    finished = await runner.run("leaves:leaves", metadata={"kinds": kinds})
    assert finished.ending.kind is EndKind.RETURNED
    assert finished.ending.left_processes == len(kinds)
    [line] = [line for line in finished.lines if line["stream"] == "system"]
    assert line["level"] == "warning"
    for pid in finished.result:
        assert is_gone(pid)
        assert f"(pid {pid})" in line["message"]
    if kinds != ["forked_twice"]:
        assert "`sleep 300`" in line["message"]


async def test_67_of_many_processes_the_first_are_named_and_the_rest_counted(
    runner: Harness,
) -> None:
    finished = await runner.run("leaves:leaves", metadata={"kinds": ["out_of_session"] * 12})
    assert finished.ending.left_processes == 12
    assert finished.messages[-1].startswith("luad ended 12 processes that the handler left")
    assert " and 7 more; " in finished.messages[-1]


async def test_67_a_helper_that_ends_with_its_handler_is_not_told(runner: Harness) -> None:
    finished = await runner.run("leaves:leaves_a_helper_that_ends_by_itself")
    assert finished.messages == ["saw the end"]
    assert finished.ending.left_processes == 0


@pytest.mark.parametrize("fails", [False, True])
async def test_the_log_names_the_asyncio_tasks_that_were_left(runner: Harness, fails: bool) -> None:
    finished = await runner.run("leaves:leaves_tasks", metadata={"fails": fails})
    assert finished.ending.kind is (EndKind.RAISED if fails else EndKind.RETURNED)
    assert finished.ending.left_tasks == 2
    [line] = [line for line in finished.lines if line["stream"] == "system"]
    assert line["level"] == "warning"
    assert line["message"].startswith("luad cancelled 2 asyncio tasks that the handler left")
    assert "`send the mail` (" in line["message"]
    assert "`leaves_tasks.<locals>.later` (" in line["message"]


async def test_tasks_that_were_awaited_are_not_told(runner: Harness) -> None:
    finished = await runner.run("leaves:awaits_its_tasks")
    assert (finished.ending.left_tasks, finished.messages) == (0, [])
