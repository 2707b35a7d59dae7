"""Runs in shared processes: kept apart, stopped, and ended by what other runs do."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from support.runner_harness import HANDLERS, Key, SharedHarness, config, is_gone

from luad.core.model import EndKind, Isolation, ProcessIdentity
from luad.runner.shared.life import MOST_RUNS, Life


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[SharedHarness]:
    harness = SharedHarness(config(tmp_path, kill_grace_ms=500), most=1)
    await harness.runner.start()
    yield harness
    await harness.runner.close()
    assert not harness.runner.running
    assert not harness.shared.process_count


async def begun(runner: SharedHarness, handler: str, **fields: object) -> Key:
    key = runner.launch(f"together:{handler}", **fields)
    await runner.line_of(key)
    return key


async def test_runs_share_a_process_and_no_handler_has_its_main_thread(
    runner: SharedHarness,
) -> None:
    seen = [(await runner.run("together:where")).result for _ in range(3)]
    assert seen == [[seen[0][0], False]] * 3
    identity = (await runner.run("together:where")).identity
    assert identity is not None
    assert identity.pid == seen[0][0]


@pytest.mark.parametrize("handler", ["says", "says_async"])
async def test_each_line_goes_to_its_run(runner: SharedHarness, handler: str) -> None:
    names = [f"n{number}" for number in range(8)]
    meeting = {"meeting": handler, "count": len(names)}
    keys = [
        runner.launch(f"together:{handler}", metadata={"name": name, **meeting}) for name in names
    ]
    for key, name in zip(keys, names, strict=True):
        finished = await runner.end_of(key)
        assert finished.ending.kind is EndKind.RETURNED, finished
        assert len(finished.messages) >= 5
        assert all(message.endswith(f" {name}") for message in finished.messages)


async def test_what_luad_cannot_place_goes_to_its_own_log(runner: SharedHarness) -> None:
    finished = await runner.run("together:writes_around")
    assert finished.messages == []
    for text in ("from C", "from a child", "from a thread"):
        fields = await runner.report_of("shared.output", text)
        assert finished.identity is not None
        assert fields["pid"] == finished.identity.pid


async def test_the_log_level_is_that_of_the_job(runner: SharedHarness) -> None:
    quiet = await runner.run("together:debugs")
    loud = await runner.run("together:debugs", log_level="debug")
    again = await runner.run("together:debugs")
    assert quiet.messages == again.messages == ["a note"]
    assert loud.messages == ["a detail", "a note"]


async def test_context_variables_of_a_run_do_not_reach_the_next(runner: SharedHarness) -> None:
    for _ in range(3):
        assert (await runner.run("together:keeps")).result == "nothing"


async def test_the_environment_names_no_run(runner: SharedHarness) -> None:
    assert (await runner.run("together:variables")).result == ["LUAD_SHARED_PROCESS"]


async def test_a_forgotten_await_is_found_in_its_own_run(runner: SharedHarness) -> None:
    other = await begun(runner, "waits")
    for handler in ("forgets", "forgets_await"):
        ending = (await runner.run(f"together:{handler}")).ending
        assert ending.error is not None
        assert ending.error.type.endswith("NotAwaited")
    assert (await runner.run("plain:sleeps_a_little")).ending.kind is EndKind.RETURNED
    runner.runner.stop(*other)
    assert (await runner.end_of(other)).ending.kind is EndKind.CANCELLED


# --- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("handler", "status"), [("exits", 3), ("exits_async", 4)])
async def test_sys_exit_ends_one_run(runner: SharedHarness, handler: str, status: int) -> None:
    other = await begun(runner, "passes", metadata={"gate": handler})
    ending = (await runner.run(f"together:{handler}")).ending
    assert (ending.kind, ending.exit_code) == (EndKind.EXITED, status)
    await runner.run("together:opens", metadata={"gate": handler})
    assert (await runner.end_of(other)).result == "passed"


async def test_sys_exit_in_a_task_does_not_end_the_event_loop(runner: SharedHarness) -> None:
    assert (await runner.run("together:exits_in_task")).result == "SystemExit"
    assert (await runner.run("plain:sleeps_a_little")).ending.kind is EndKind.RETURNED


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        ("exits_hard", "ended with exit status 9"),
        ("segfaults", "was killed by SIGSEGV"),
        ("kills", "was killed by SIGKILL"),
    ],
)
async def test_the_end_of_the_process_loses_its_runs_and_no_others(
    runner: SharedHarness, handler: str, why: str
) -> None:
    other = await begun(runner, "waits")
    culprit = await runner.run(f"together:{handler}")
    innocent = await runner.end_of(other)
    for ending in (culprit.ending, innocent.ending):
        assert ending.kind is EndKind.LOST
        assert ending.error is not None
        assert why in ending.error.message
    after = await runner.run("together:where")
    assert after.result[0] != (innocent.identity and innocent.identity.pid)


async def test_a_process_that_is_killed_from_outside_loses_its_runs(runner: SharedHarness) -> None:
    keys = [await begun(runner, "waits") for _ in range(3)]
    os.kill((await runner.start_of(keys[0])).pid, signal.SIGKILL)
    assert {(await runner.end_of(key)).ending.kind for key in keys} == {EndKind.LOST}


@pytest.mark.parametrize("victim", ["the process", "its keeper"])
async def test_runs_that_had_not_begun_are_executed_by_the_next_process(
    runner: SharedHarness, victim: str
) -> None:
    """A process that is stopped by a signal gets runs and begins none."""
    key = await begun(runner, "waits")
    pid = (await runner.start_of(key)).pid
    os.kill(pid, signal.SIGSTOP)
    waiting = [runner.launch("together:where") for _ in range(50)]
    await runner.until(lambda: len(runner.shared.running) == 51)
    await asyncio.sleep(0)  # they are sent
    [keeper] = runner.shared.own_pids()
    os.kill(pid if victim == "the process" else keeper, signal.SIGKILL)
    assert (await runner.end_of(key)).ending.kind is EndKind.LOST
    for each in waiting:
        finished = await runner.end_of(each)
        assert finished.ending.kind is EndKind.RETURNED
        assert finished.result[0] != pid


async def test_no_run_is_dropped_or_repeated_while_processes_are_killed(tmp_path: Path) -> None:
    runner, out = SharedHarness(config(tmp_path), most=2), tmp_path / "executed"
    await runner.runner.start()
    keys = [runner.launch("together:writes", metadata={"out": str(out)}) for _ in range(300)]
    for share in (20, 100):  # the third process that dies makes luad give a run up
        await runner.until(partial(has_started, runner, share))
        victim = next((each.pid for each in runner.shared._links if each.open and each.pid), None)
        with suppress(ProcessLookupError):
            os.kill(victim or 0x7FFFFFFF, signal.SIGKILL)
    kinds = [(await runner.end_of(key)).ending.kind for key in keys]
    assert set(kinds) <= {EndKind.RETURNED, EndKind.LOST}
    executed = out.read_text().split()
    assert len(executed) == len(set(executed))
    returned = {key[0] for key, kind in zip(keys, kinds, strict=True) if kind is EndKind.RETURNED}
    assert returned <= set(executed)
    await runner.runner.close()


def has_started(runner: SharedHarness, share: int) -> bool:
    return len(runner.started) >= share


async def test_a_dead_keeper_takes_its_process_and_what_that_left_along(
    runner: SharedHarness,
) -> None:
    child = (await runner.run("together:leaves_child")).result
    key = await begun(runner, "waits")
    identity = await runner.start_of(key)
    [keeper] = runner.shared.own_pids()
    os.kill(keeper, signal.SIGKILL)
    ending = (await runner.end_of(key)).ending
    assert ending.kind is EndKind.LOST
    assert is_gone(identity.pid)
    assert is_gone(child)


async def test_what_a_handler_leaves_ends_with_the_process(runner: SharedHarness) -> None:
    child = (await runner.run("together:leaves_child")).result
    assert not is_gone(child)
    await runner.run("together:exits_hard")
    assert is_gone(child)
    await runner.report_of("shared.output", "sleep 300")


async def test_a_forked_child_of_a_handler_is_not_a_second_run(runner: SharedHarness) -> None:
    finished = await runner.run("together:forks")
    assert (finished.result, finished.messages) == ("parent", ["in the parent"])
    await runner.report_of("shared.output", "in the child")


# --- stops -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", ["waits", "waits_softly"])
async def test_a_stop_that_a_handler_obeys_costs_no_other_run(
    runner: SharedHarness, handler: str
) -> None:
    other = await begun(runner, "passes", metadata={"gate": handler})
    stopped = await begun(runner, handler)
    runner.runner.stop(*stopped)
    late = await runner.run(f"together:{handler}", timeout_ms=100)
    ending = (await runner.end_of(stopped)).ending
    assert (ending.kind, late.ending.kind) == (EndKind.CANCELLED, EndKind.TIMED_OUT)
    assert late.ending.error is not None
    assert late.ending.error.message == "the handler ran longer than its timeout of 0.1 s"
    assert f"in {handler}" in late.ending.error.traceback
    await runner.run("together:opens", metadata={"gate": handler})
    assert (await runner.end_of(other)).result == "passed"


async def test_a_handler_that_does_not_stop_costs_its_process(runner: SharedHarness) -> None:
    other = await begun(runner, "waits")
    stubborn = await runner.run("together:waits_hard", timeout_ms=100)
    innocent = (await runner.end_of(other)).ending
    error = stubborn.ending.error
    assert error is not None
    assert (stubborn.ending.kind, innocent.kind) == (EndKind.TIMED_OUT, EndKind.LOST)
    assert error.message.endswith("; its shared process had to be killed")
    assert "waits_hard" in error.traceback
    assert innocent.error is not None
    assert "of a-job in it did not stop" in innocent.error.message


async def test_a_handler_that_blocks_the_event_loop_is_named_and_ended(
    runner: SharedHarness,
) -> None:
    key = runner.launch("together:blocks", metadata={"gate": "never"}, timeout_ms=3_000)
    await runner.line_of(key)
    waiting = runner.launch("together:waits")  # its task never begins
    plain = await runner.run("plain:no_argument")  # threads go on
    assert plain.result == "called without"
    finished = await runner.end_of(key)
    assert finished.ending.kind is EndKind.TIMED_OUT
    assert any("blocks the event loop" in message for message in finished.messages)
    assert (await runner.end_of(waiting)).ending.kind is EndKind.LOST


async def test_kill_ends_the_process_at_once(runner: SharedHarness) -> None:
    key = await begun(runner, "waits_softly")
    runner.runner.stop(*key, kill=True)
    ending = (await runner.end_of(key)).ending
    assert ending.kind is EndKind.CANCELLED


async def test_a_process_that_is_stopped_by_a_signal_is_killed_in_time(tmp_path: Path) -> None:
    runner = SharedHarness(config(tmp_path, overdue_ms=1_000), most=1)
    await runner.runner.start()
    key = await begun(runner, "waits")
    os.kill((await runner.start_of(key)).pid, signal.SIGSTOP)
    ending = (await runner.end_of(key)).ending
    assert ending.kind is EndKind.LOST
    assert ending.error is not None
    assert "has not answered" in ending.error.message
    await runner.runner.close()


async def test_a_run_that_has_not_begun_is_cancelled_without_a_trace(
    runner: SharedHarness,
) -> None:
    key = runner.launch("together:waits_hard")
    runner.runner.stop(*key)
    finished = await runner.end_of(key)
    assert finished.ending.kind is EndKind.CANCELLED
    assert finished.identity is None


# --- what all runs of a process share --------------------------------------------------------------


async def test_the_working_directory_is_set_back(tmp_path: Path) -> None:
    moving = SharedHarness(config(tmp_path, cwd=tmp_path), most=1)
    await moving.runner.start()
    finished = await moving.run("together:moves")
    assert "luad has set it back" in finished.messages[0]
    assert (await moving.run("together:folder")).result == str(tmp_path)
    await moving.runner.close()


async def test_no_handler_replaces_a_signal_handler(runner: SharedHarness) -> None:
    assert "main thread" in (await runner.run("together:takes_signal")).result
    key = await begun(runner, "passes", metadata={"gate": "term"})
    os.kill((await runner.start_of(key)).pid, signal.SIGTERM)  # to the whole service
    await runner.run("together:opens", metadata={"gate": "term"})
    assert (await runner.end_of(key)).result == "passed"


async def test_threads_and_tasks_that_are_left_are_named(runner: SharedHarness) -> None:
    threads = await runner.run("together:leaves_thread")
    assert "left threads running: left-behind" in threads.messages[0]
    tasks = await runner.run("together:leaves_task")
    assert tasks.ending.left_tasks == 1
    assert "send the mail" in tasks.messages[0]


# --- replacement -----------------------------------------------------------------------------------


async def test_a_changed_handler_is_loaded_anew_and_open_runs_go_on(tmp_path: Path) -> None:
    handlers = tmp_path / "handlers"
    handlers.mkdir()
    source = (HANDLERS / "together.py").read_text()
    (handlers / "together.py").write_text(source)
    runner = SharedHarness(config(tmp_path, handlers_path=(handlers,)), most=1)
    await runner.runner.start()
    key = await begun(runner, "waits_softly")
    before = await runner.run("together:loaded")
    (handlers / "together.py").write_text(source.replace('"as loaded"', '"as changed"'))
    after = [runner.launch("together:loaded") for _ in range(20)]
    assert {(await runner.end_of(each)).result for each in after} == {"as changed"}
    assert before.result == "as loaded"
    assert before.identity != runner.started[after[0]].identity
    assert key in runner.runner.running
    assert "together.py has changed" in (await runner.report_of("shared.replaced"))["why"]
    runner.runner.stop(*key)
    assert (await runner.end_of(key)).ending.kind is EndKind.CANCELLED
    await runner.until(lambda: runner.shared.ended["replaced"] == 1)
    await runner.runner.close()


async def test_a_renewal_replaces_processes_once_they_are_idle(runner: SharedHarness) -> None:
    key = await begun(runner, "waits")
    await runner.runner.renew_spawner()  # type: ignore[union-attr]
    first = await runner.start_of(key)
    second = (await runner.run("together:where")).identity
    assert second is not None
    assert second != first
    assert not is_gone(first.pid)
    runner.runner.stop(*key)
    assert (await runner.end_of(key)).ending.kind is EndKind.CANCELLED
    await runner.until(lambda: runner.shared.ended["replaced"] == 1)


class Unchanged:
    def changed(self) -> str:
        return ""


def test_a_process_is_over_after_many_runs() -> None:
    life = Life(Unchanged())  # type: ignore[arg-type] # all that it asks
    for _ in range(MOST_RUNS - 1):
        life.count_run()
    assert life.over() == ""
    life.count_run()
    assert life.over() == "it has executed 100,000 runs"


def test_a_process_is_over_once_it_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    grown = [0]
    monkeypatch.setattr("luad.runner.shared.life.resident_bytes", lambda: grown[0])
    life = Life(Unchanged())  # type: ignore[arg-type] # as above
    for size in (0, 256 << 20, (256 << 20) + 1):
        assert life.over() == ""
        grown[0] = size
        for _ in range(100):
            life.count_run()
    assert life.over() == "it has grown by more than 256 MiB"


# --- the runner ------------------------------------------------------------------------------------


async def test_processes_are_started_up_to_the_setting(tmp_path: Path) -> None:
    runner = SharedHarness(config(tmp_path), most=3)
    await runner.runner.start()
    assert runner.shared.process_count == 0  # a luad without such jobs pays nothing
    keys = [runner.launch("together:waits") for _ in range(9)]
    pids = {(await runner.start_of(key)).pid for key in keys}
    assert 1 <= len(pids) <= runner.shared.process_count <= 3
    await runner.runner.close()
    assert {(await runner.end_of(key)).ending.kind for key in keys} == {EndKind.CANCELLED}


async def test_both_kinds_of_runs_go_side_by_side(runner: SharedHarness) -> None:
    shared = runner.launch("together:where")
    own = runner.launch("together:where", isolation=Isolation.PROCESS)
    first, second = await runner.end_of(shared), await runner.end_of(own)
    assert (first.result[1], second.result[1]) == (False, True)
    identity = second.identity
    assert isinstance(identity, ProcessIdentity)
    assert first.result[0] != second.result[0]


async def test_a_process_that_cannot_start_fails_its_runs(
    tmp_path: Path,
) -> None:
    runner = SharedHarness(config(tmp_path, cwd=tmp_path / "missing"), most=1)
    await runner.runner.start()
    ending = (await runner.run("together:where")).ending
    assert ending.kind is EndKind.NOT_STARTED
    assert ending.error is not None
    assert ending.error.type == "SharedProcessFailed"
    await runner.runner.close()


async def test_five_hundred_runs_all_end_once(runner: SharedHarness) -> None:
    handlers = ("plain:no_argument", "plain:sleeps_a_little", "plain:prints")
    keys = [runner.launch(handlers[number % 3]) for number in range(500)]
    endings = [(await runner.end_of(key)).ending.kind for key in keys]
    assert endings == [EndKind.RETURNED] * 500
    assert len(runner.ended) == 500
