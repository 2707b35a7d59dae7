"""The parts that hold a run: keepers, spawner, lock, daemon; and the death of each.

The numbers are those of the project's table of faults.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.runner_harness import HANDLERS, Harness, config, is_gone

from luad.core.model import EndKind
from luad.errors import UnavailableError
from luad.runner.processes import (
    boot_id,
    kill_survivor,
    read_stat,
    session_members,
)
from luad.runner.runner import Runner
from luad.runner.spawner_link import SpawnerLink


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children_of(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def damage_all(folder: Path) -> None:
    """Keep the beginning of every file, and nothing else."""
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:8] + b"garbage")


# --- 78: no process can be made ------------------------------------------------------------------


def fill_descriptors() -> list[int]:
    """Open files until there is no descriptor left."""
    held = []
    with suppress(OSError):
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    return held


@contextmanager
def no_new_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() - 1, hard))
    held = fill_descriptors()  # numbers below the limit may be free: earlier tests have closed them
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)


async def test_78_a_daemon_without_descriptors_starts_runs_all_the_same(runner: Harness) -> None:
    await runner.both_keepers()
    with no_new_descriptors():
        assert (await runner.run("plain:nothing")).ending.kind is EndKind.RETURNED


async def test_78_without_descriptors_for_a_keeper_a_launch_has_not_started(
    runner: Harness,
) -> None:
    await runner.both_keepers()
    with no_new_descriptors():
        link = runner.runner._spawners.link
        assert link is not None
        link.keepers.close()
        held = fill_descriptors()
        key = runner.launch("plain:nothing")
        ending = (await runner.end_of(key)).ending
        for descriptor in held:
            os.close(descriptor)
    assert ending.kind is EndKind.NOT_STARTED
    assert ending.error is not None
    assert os.strerror(errno.EMFILE) in ending.error.message
    assert (await runner.run("plain:nothing")).ending.kind is EndKind.RETURNED


@pytest.mark.parametrize("room", range(4, 11, 2))
async def test_78_when_the_spawner_can_make_no_process_a_launch_has_not_started(
    runner: Harness, room: int
) -> None:
    await runner.both_keepers()
    forkers = runner.forkers()
    before = resource.prlimit(forkers[0], resource.RLIMIT_NOFILE)
    for pid in forkers:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (room, before[1]))
    keys = [runner.launch("plain:nothing") for _ in range(12)]
    kinds = [(await runner.end_of(key)).ending.kind for key in keys]
    for pid in forkers:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert EndKind.NOT_STARTED in kinds
    # The handlers in reserve were made before.
    assert set(kinds) <= {EndKind.NOT_STARTED, EndKind.RETURNED}
    assert (await runner.run("plain:nothing")).ending.kind is EndKind.RETURNED


@pytest.mark.parametrize("room", range(4, 11, 2))
async def test_78_when_no_keeper_can_be_made_a_launch_has_not_started(
    runner: Harness, room: int
) -> None:
    spawner = runner.runner.spawner_pid
    assert spawner is not None
    await runner.both_keepers()
    limits = resource.prlimit(spawner, resource.RLIMIT_NOFILE)
    resource.prlimit(spawner, resource.RLIMIT_NOFILE, (room, limits[1]))
    await runner.without_keepers()
    endings = [(await runner.run("plain:nothing")).ending for _ in range(4)]
    resource.prlimit(spawner, resource.RLIMIT_NOFILE, limits)
    assert {each.kind for each in endings} <= {EndKind.NOT_STARTED, EndKind.RETURNED}
    errors = {each.error.type for each in endings if each.error is not None}
    # With 4 the spawner cannot take the descriptors of a keeper, and no process is there to say so.
    assert errors <= {"KeeperGone" if room == 4 else "OSError"}, "the system's own reason"
    await runner.without_keepers()  # those that were made under the limit have it still
    assert (await runner.run("plain:nothing")).ending.kind is EndKind.RETURNED


async def test_78_without_an_interpreter_the_start_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/absent/python")
    harness = Harness(config(tmp_path))
    with pytest.raises(UnavailableError, match="/absent/python"):
        await harness.runner.start()


async def test_78_large_metadata_is_no_problem(runner: Harness) -> None:
    finished = await runner.run("plain:no_argument", metadata={"a": "x" * 5_000_000})
    assert finished.ending.kind is EndKind.RETURNED


# --- 79: many of them ----------------------------------------------------------------------------


async def test_79_hundreds_of_runs_leave_neither_zombies_nor_descriptors(runner: Harness) -> None:
    await runner.both_keepers()
    gc.collect()  # sockets of earlier tests
    before = open_descriptors()
    keys = [runner.launch("plain:nothing") for _ in range(300)]
    for key in keys:
        assert (await runner.end_of(key)).ending.kind is EndKind.RETURNED
    assert open_descriptors() == before
    spawner = runner.runner.spawner_pid
    assert spawner is not None
    left = [stat for pid in children_of(spawner) if (stat := read_stat(pid)) is not None]
    assert not [stat for stat in left if stat.state == "Z"]


async def test_79_ten_thousand_who_have_ended_without_a_parent_are_collected(
    runner: Harness,
) -> None:
    """They come to the keeper all at once; what it says of its own handler stays right."""
    key = runner.launch("ends:leaves_ten_thousand", timeout_ms=60_000)
    identity = await runner.start_of(key)
    finished = await runner.end_of(key)
    assert (finished.ending.kind, finished.ending.exit_code) == (EndKind.EXITED, 5)
    assert session_members(identity.pid) == []
    assert (await runner.run("plain:nothing")).ending.kind is EndKind.RETURNED


# --- 80: handlers that attack those who hold them ------------------------------------------------


@pytest.mark.parametrize("handler", ["ends:kills_its_parent", "ends:kills_its_keeper"])
async def test_80_whoever_kills_its_keeper_is_lost_and_gone(runner: Harness, handler: str) -> None:
    key = runner.launch(handler)
    identity = await runner.start_of(key)
    finished = await runner.end_of(key)
    assert finished.ending.kind is EndKind.LOST
    assert is_gone(identity.pid)
    assert (await runner.run("plain:nothing")).ending.kind is EndKind.RETURNED


@pytest.mark.parametrize("handler", ["ends:stops_its_parent", "ends:stops_its_keeper"])
async def test_80_a_keeper_that_was_stopped_goes_on(runner: Harness, handler: str) -> None:
    key = runner.launch(handler, timeout_ms=400)
    assert (await runner.end_of(key)).ending.kind is EndKind.TIMED_OUT


@pytest.mark.parametrize("handler", ["ends:stops_its_parent", "ends:stops_its_keeper"])
async def test_80_a_keeper_that_was_stopped_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: str
) -> None:
    monkeypatch.setattr("luad.runner.runner.continue_if_stopped", lambda _: None)
    harness = Harness(config(tmp_path, overdue_ms=1_000))
    await harness.runner.start()
    await harness.run("plain:nothing")
    key = harness.launch(handler, timeout_ms=400)
    identity = await harness.start_of(key)
    finished = await harness.end_of(key)
    await harness.runner.close()
    assert finished.ending.kind is EndKind.LOST
    assert is_gone(identity.pid)


async def test_80_whoever_kills_the_spawner_ends_as_usual_and_so_does_the_next(
    runner: Harness,
) -> None:
    before = runner.runner.spawner_pid
    assert (await runner.run("ends:kills_the_spawner")).result == "survived"
    assert (await runner.run("plain:nothing")).ending.kind is EndKind.RETURNED
    assert runner.runner.spawner_pid != before


async def test_a_dying_keeper_costs_its_own_runs_and_no_others(runner: Harness) -> None:
    await runner.both_keepers()
    keys = [runner.launch("plain:waits_to_be_stopped") for _ in range(6)]
    for key in keys:
        await runner.line_of(key)
    victim = runner.keeper_of(keys[0])
    lost = [key for key in keys if runner.keeper_of(key) == victim]
    assert len(lost) == 3
    os.kill(victim, signal.SIGKILL)
    for key in lost:
        assert (await runner.end_of(key)).ending.kind is EndKind.LOST
    others = [key for key in keys if key not in lost]
    assert not [key for key in others if key in runner.ended]
    for key in others:
        runner.runner.stop(*key)
        assert (await runner.end_of(key)).ending.kind is EndKind.CANCELLED


async def test_a_dying_keeper_loses_no_launch_that_no_handler_has_got(runner: Harness) -> None:
    await runner.both_keepers()
    keepers = runner.keepers()
    for pid in keepers:
        os.kill(pid, signal.SIGSTOP)
    keys = [runner.launch("plain:no_argument") for _ in range(8)]
    for pid in keepers:
        os.kill(pid, signal.SIGKILL)
    for key in keys:
        assert (await runner.end_of(key)).ending.kind is EndKind.RETURNED


async def test_a_dying_spawner_loses_no_launch(runner: Harness) -> None:
    keys = [runner.launch("plain:no_argument") for _ in range(60)]
    for _ in range(2):
        spawner = runner.runner.spawner_pid
        assert spawner is not None
        os.kill(spawner, signal.SIGKILL)
        done = len(runner.ended)
        await runner.until(lambda done=done: len(runner.ended) > done)  # type: ignore[misc]
    for key in keys:
        assert (await runner.end_of(key)).ending.kind is EndKind.RETURNED


async def test_80_a_spawner_that_was_stopped_goes_on(runner: Harness) -> None:
    spawner = runner.runner.spawner_pid
    assert spawner is not None
    await runner.both_keepers()
    os.kill(spawner, signal.SIGSTOP)
    for pid in runner.keepers():
        os.kill(pid, signal.SIGKILL)
    assert (await runner.run("plain:no_argument")).result == "called without"
    assert runner.runner.spawner_pid == spawner


async def test_80_a_spawner_that_does_not_answer_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SpawnerLink, "wake", lambda _: None)  # somebody stops it again and again
    # Its successor has to come up within the time that it has to answer in.
    harness = Harness(config(tmp_path, overdue_ms=1_500))
    await harness.runner.start()
    await harness.both_keepers()
    spawner = harness.runner.spawner_pid
    assert spawner is not None
    os.kill(spawner, signal.SIGSTOP)
    for pid in harness.keepers():
        os.kill(pid, signal.SIGKILL)
    assert (await harness.run("plain:no_argument")).result == "called without"
    assert harness.runner.spawner_pid != spawner
    await harness.runner.close()


# --- the daemon dies -----------------------------------------------------------------------------

_DAEMON = """
import asyncio, sys
from pathlib import Path
from support.runner_harness import Harness, config

async def main():
    harness = Harness(config(Path({state!r}), kill_grace_ms=60_000))
    await harness.runner.start()
    key = harness.launch({handler!r}, metadata={{"stay": True}})
    identity = await harness.start_of(key)
    await harness.until(lambda: key in harness.lines)
    print(identity.pid, identity.start_ticks, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def orphan(tmp_path: Path, request: pytest.FixtureRequest) -> int:
    """A run whose daemon was killed; the pid of its process."""
    program = _DAEMON.format(state=str(tmp_path), handler=request.param)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    daemon = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=env)
    assert daemon.stdout is not None
    first = daemon.stdout.readline()
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    return int(first.split()[0])


@pytest.mark.parametrize(
    "orphan", ["stubborn:ignores_term", "stubborn:daemonises", "plain:cleans_up"], indirect=True
)
async def test_a_run_does_not_outlive_its_daemon_and_the_next_one_can_wait_for_that(
    tmp_path: Path, orphan: int
) -> None:
    harness = Harness(config(tmp_path))
    assert await harness.runner.wait_for_previous(10_000)
    assert is_gone(orphan)
    assert session_members(orphan) == []
    await harness.runner.start()
    # Our own runs are not waited for, and do not mind.
    key = harness.launch("plain:waits_to_be_stopped")
    await harness.line_of(key)
    assert await harness.runner.wait_for_previous(0)
    assert key in harness.runner.running
    await harness.runner.close()


async def test_while_a_run_of_another_daemon_is_alive_the_wait_says_so(
    tmp_path: Path, runner: Harness
) -> None:
    key = runner.launch("plain:waits_to_be_stopped")
    await runner.line_of(key)
    other = Runner(config(tmp_path), emit=print, on_lines=print)
    assert not await other.wait_for_previous(50)
    runner.runner.stop(*key, kill=True)
    await runner.end_of(key)
    await runner.runner.close()
    assert await other.wait_for_previous(10_000)
    await other.close()


# --- who is who ----------------------------------------------------------------------------------


async def test_an_identity_is_more_than_a_pid(runner: Harness) -> None:
    key = runner.launch("stubborn:ignores_term")
    identity = await runner.start_of(key)
    await runner.line_of(key)
    for stranger in (
        replace(identity, start_ticks=identity.start_ticks + 1),
        replace(identity, boot_id="another boot"),
    ):
        assert not kill_survivor(stranger)
    assert key in runner.runner.running, "a stranger's death must not be ours"
    assert await asyncio.to_thread(kill_survivor, identity)
    finished = await runner.end_of(key)
    assert finished.ending.signal == signal.SIGKILL
    assert not kill_survivor(identity)
    assert identity.boot_id == boot_id()


# --- fresh code ----------------------------------------------------------------------------------


async def test_an_edit_of_the_same_second_and_size_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "fresh.py"
    harness = Harness(config(tmp_path, handlers_path=(tmp_path,)))
    await harness.runner.start()
    seen = []
    for number in range(6):
        module.write_text(f"def run(job):\n    return {number}\n")
        os.utime(module, ns=(0, 0))
        seen.append((await harness.run("fresh:run")).result)
        seen.append((await harness.run("fresh:run")).result)  # from the cache
    await harness.runner.close()
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert "__pycache__" not in os.listdir(tmp_path), "nothing is written beside the handlers"  # noqa: PTH208 - a test may block


async def test_a_broken_cache_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "fresh.py").write_text("def run(job):\n    return 1\n")
    harness = Harness(config(tmp_path, handlers_path=(tmp_path,)))
    await harness.runner.start()
    await harness.run("fresh:run")
    damage_all(tmp_path / "code-cache")
    assert (await harness.run("fresh:run")).result == 1
    await harness.runner.close()


async def test_packages_come_from_the_handlers_path(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("")
    (tmp_path / "app" / "jobs.py").write_text(
        "from app.tools import value\ndef run(): return value\n"
    )
    (tmp_path / "app" / "tools.py").write_text("value = 'nested'\n")
    harness = Harness(config(tmp_path, handlers_path=(tmp_path,)))
    await harness.runner.start()
    result = (await harness.run("app.jobs:run")).result
    await harness.runner.close()
    assert result == "nested"


async def test_the_working_directory_is_not_imported_from(tmp_path: Path) -> None:
    (tmp_path / "sneaky.py").write_text("def run(): return 'from cwd'\n")
    harness = Harness(config(tmp_path, handlers_path=(HANDLERS,), cwd=tmp_path))
    await harness.runner.start()
    finished = await harness.run("sneaky:run")
    await harness.runner.close()
    assert finished.ending.kind is EndKind.NOT_STARTED
