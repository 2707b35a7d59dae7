"""Handlers that fail, misbehave or attack: each is one ended run, and the next one is fine.

The numbers are those of the project's table of faults.
"""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from support.runner_harness import Finished, Harness, config, is_gone

from luad.core.model import DAY, EndKind, Limits
from luad.runner.processes import Stat, read_stat


async def assert_next_is_fine(runner: Harness) -> None:
    assert (await runner.run("plain:no_argument")).result == "called without"


def error_of(finished: Finished) -> tuple[str, str, str]:
    error = finished.ending.error
    assert error is not None, finished.ending
    return error.type, error.message, error.traceback


# --- 61: imports -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "handler", "kind", "words"),
    [
        ("", "absent:run", "HandlerError", "the module `absent` does not exist"),
        ("def cleanup(job): pass", "broken:clenup", "HandlerError", "did you mean `cleanup`?"),
        ("def run(:", "broken:run", "SyntaxError", "invalid syntax"),
        ("import no_such_package", "broken:run", "ModuleNotFoundError", "no_such_package"),
        ("raise RuntimeError('at import')", "broken:run", "RuntimeError", "at import"),
        ("raise SystemExit(3)", "broken:run", "SystemExit", "3"),
        ("run = 3", "broken:run", "HandlerError", "is of type int"),
        ("class run: pass", "broken:run", "HandlerError", "is a class"),
        ("def run(job):\n    yield", "broken:run", "HandlerError", "generator"),
        ("def run(job, user): pass", "broken:run", "HandlerError", "takes (job, user)"),
        ("def run(*, user): pass", "broken:run", "HandlerError", "takes (user)"),
        ("", "broken", "HandlerError", "entry point"),
        ("", "broken:run:twice", "HandlerError", "is not a handler"),
    ],
)
async def test_61_what_cannot_be_imported_has_not_started(
    tmp_path: Path, source: str, handler: str, kind: str, words: str
) -> None:
    (tmp_path / "broken.py").write_text(source)
    runner = Harness(config(tmp_path, handlers_path=(tmp_path,)))
    await runner.runner.start()
    finished = await runner.run(handler)
    await runner.runner.close()
    assert finished.ending.kind is EndKind.NOT_STARTED
    assert error_of(finished)[0] == kind
    assert words in error_of(finished)[1]


async def test_61_an_import_that_hangs_counts_against_the_timeout(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("print('ready')\nimport time\ntime.sleep(60)\n")
    runner = Harness(config(tmp_path, handlers_path=(tmp_path,)))
    await runner.runner.start()
    finished = await runner.run("slow:run", timeout_ms=200)
    await runner.runner.close()
    assert finished.ending.kind is EndKind.TIMED_OUT
    assert "time.sleep(60)" in error_of(finished)[2]


LEAVES_SOMEBODY = """
import os, signal
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.write(writer, str(os.getpid()).encode())
    signal.pause()
left = int(os.read(reader, 32))
def run(): return left
"""


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (LEAVES_SOMEBODY, EndKind.RETURNED),
        ("import os\nos._exit(3)", EndKind.EXITED),
        ("import os\nos.kill(0, 9)", EndKind.SIGNALLED),
        ("import ctypes\nctypes.string_at(0)", EndKind.SIGNALLED),
        ("import sys\nsys.modules.clear()\ndef run(): pass", EndKind.NOT_STARTED),
    ],
)
async def test_61_what_an_import_does_besides_is_its_own_run_s_affair(
    tmp_path: Path, source: str, kind: EndKind
) -> None:
    (tmp_path / "odd.py").write_text(source)
    (tmp_path / "good.py").write_text("def run(): return 'fine'")
    runner = Harness(config(tmp_path, handlers_path=(tmp_path,)))
    await runner.runner.start()
    finished = await runner.run("odd:run")
    assert finished.ending.kind is kind
    if kind is EndKind.RETURNED:
        assert is_gone(finished.result)
    assert (await runner.run("good:run")).result == "fine"
    await runner.runner.close()


@pytest.mark.parametrize("handler", ["plain:needs_two", "plain:absent"])
async def test_61_the_next_run_is_not_touched(runner: Harness, handler: str) -> None:
    assert (await runner.run(handler)).ending.kind is EndKind.NOT_STARTED
    await assert_next_is_fine(runner)


# --- 62, 63, 64: exceptions, exits, signals ------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        ("raises", "ValueError", "bad value 0"),
        ("raises_base", "ends.NotAnException", "odd"),
        ("raises_awkward", "ends.Awkward", "str() failed"),
        ("raises_huge", "ValueError", "characters left out"),
        ("raises_recursive", "ValueError", "[[...]]"),
        ("recurses", "RecursionError", "maximum recursion depth"),
        ("raises_chained", "KeyError", "outer"),
        ("raises_group", "ExceptionGroup", "both (2 sub-exceptions)"),
        ("raises_depth", "ExceptionGroup", "the message could not be made: RecursionError"),
        ("raises_notes", "ValueError", "noted"),
        ("raises_hostile", "ends.Hostile", "the message could not be made: SystemExit"),
        ("raises_name", "ends.Eviii", "characters left out"),
    ],
)
async def test_62_every_exception_is_a_bounded_text(
    runner: Harness, handler: str, kind: str, words: str
) -> None:
    finished = await runner.run(f"ends:{handler}")
    assert finished.ending.kind is EndKind.RAISED
    name, message, trace = error_of(finished)
    assert name.startswith(kind)
    assert len(name) < 500
    assert words in message or words in name
    assert len(message) < 5_000
    assert len(trace) < 20_000
    assert "luad/runner" not in trace


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        (0, 0, []),
        (3, 3, []),
        (None, 0, []),
        ("x", 1, ["x"]),
        (259, 3, []),
        (-1, 255, []),
        (1 << 70, 255, []),
        ("quit", 0, []),
    ],
)
async def test_63_exits_keep_their_code(
    runner: Harness, how: object, code: int, said: list[str]
) -> None:
    finished = await runner.run("ends:exits", metadata={"how": how})
    assert finished.ending.kind is EndKind.EXITED
    assert finished.ending.exit_code == code
    assert finished.messages == said


async def test_63_a_hard_exit_is_an_exit(runner: Harness) -> None:
    finished = await runner.run("ends:hard_exit")
    assert (finished.ending.kind, finished.ending.exit_code) == (EndKind.EXITED, 7)


@pytest.mark.parametrize(
    ("handler", "signum"),
    [("segfault", signal.SIGSEGV), ("abort", signal.SIGABRT), ("kills_its_group", signal.SIGKILL)],
)
async def test_64_a_crash_is_one_signalled_run(runner: Harness, handler: str, signum: int) -> None:
    finished = await runner.run(f"ends:{handler}")
    assert (finished.ending.kind, finished.ending.signal) == (EndKind.SIGNALLED, signum)
    assert error_of(finished)[0] == signal.Signals(signum).name
    await assert_next_is_fine(runner)


@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGBUS, 40]
)
async def test_64_a_handler_may_kill_itself(runner: Harness, signum: int) -> None:
    finished = await runner.run("ends:kills_itself", metadata={"signal": int(signum)})
    assert (finished.ending.kind, finished.ending.signal) == (EndKind.SIGNALLED, signum)


async def test_64_a_segfault_leaves_its_python_stack(runner: Harness) -> None:
    finished = await runner.run("ends:segfault")
    assert any("in segfault" in message for message in finished.messages)


# --- 65, 66, 75: time limits ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "handler",
    [
        "ignores_term",
        "blocks_all_signals",
        "swallows_everything",
        "blocks_its_loop",
    ],
)
async def test_65_whoever_ignores_term_is_killed_after_the_grace(
    runner: Harness, handler: str
) -> None:
    for timeout_ms in (300, 3_000, 30_000):
        key = runner.launch(f"stubborn:{handler}", timeout_ms=timeout_ms)
        identity = await runner.start_of(key)
        finished = await runner.end_of(key)
        assert finished.ending.kind is EndKind.TIMED_OUT
        if "ready" in finished.messages:
            break  # on a busy machine the time may pass before the handler ignores anything
    assert finished.ending.signal == signal.SIGKILL
    assert error_of(finished)[1].endswith("it had to be killed")
    assert is_gone(identity.pid)


async def test_65_a_stopped_handler_is_woken_to_be_ended(runner: Harness) -> None:
    finished = await runner.run("stubborn:stops_itself", timeout_ms=200)
    assert finished.ending.kind is EndKind.TIMED_OUT
    assert finished.ending.signal == signal.SIGTERM


async def test_65_a_swallowed_cancellation_is_still_a_timeout(runner: Harness) -> None:
    finished = await runner.run("stubborn:swallows_cancellation", timeout_ms=200)
    assert finished.ending.kind is EndKind.TIMED_OUT
    assert finished.result == "swallowed"


async def test_65_a_thread_that_is_left_running_is_told_from_a_slow_handler(
    runner: Harness,
) -> None:
    finished = await runner.run("plain:leaves_a_thread", timeout_ms=200)
    assert finished.ending.kind is EndKind.TIMED_OUT
    assert finished.result == "returned"
    assert "it left threads or processes" in error_of(finished)[1]


async def test_66_a_busy_loop_keeps_nobody_else_from_running(runner: Harness) -> None:
    key = runner.launch("stubborn:busy")
    await runner.line_of(key)
    await assert_next_is_fine(runner)
    runner.runner.stop(*key)
    assert (await runner.end_of(key)).ending.kind is EndKind.CANCELLED


@pytest.mark.parametrize("timeout_ms", [0, 1, 10])
async def test_75_a_timeout_shorter_than_the_start_is_one_timed_out_run(
    runner: Harness, timeout_ms: int
) -> None:
    finished = await runner.run("plain:waits_to_be_stopped", timeout_ms=timeout_ms)
    assert finished.ending.kind is EndKind.TIMED_OUT


# --- 67, 68, 69: what handlers leave behind or use up --------------------------------------------


@pytest.mark.parametrize("handler", ["leaves_a_helper", "daemonises"])
async def test_67_nothing_outlives_the_run(runner: Harness, handler: str) -> None:
    key = runner.launch(f"stubborn:{handler}")
    finished = await runner.end_of(key)
    assert finished.ending.kind is EndKind.RETURNED
    assert is_gone(finished.result)
    started = runner.started[key].at
    assert finished.ending.at - started < 3_000, "the run waited for somebody who held its pipe"


async def test_67_a_timeout_reaches_those_who_left_the_session(runner: Harness) -> None:
    key = runner.launch("stubborn:daemonises", metadata={"stay": True})
    await runner.until(lambda: key in runner.lines)
    grandchild = int(runner.lines[key][0]["message"])
    assert not is_gone(grandchild)
    runner.runner.stop(*key)
    await runner.end_of(key)
    assert is_gone(grandchild)


@pytest.mark.parametrize("rests", [True, False])
async def test_68_a_fork_bomb_is_one_run_that_is_ended(runner: Harness, rests: bool) -> None:
    """One that never rests fills the place of whoever is killed at once."""
    metadata, limits = {"rests": rests}, Limits(processes=60)
    key = runner.launch("stubborn:fork_bomb", metadata=metadata, limits=limits, timeout_ms=1_000)
    await runner.line_of(key)
    await assert_next_is_fine(runner)
    finished = await runner.end_of(key)
    assert finished.ending.kind is EndKind.TIMED_OUT
    assert finished.identity is not None
    assert not _alive_in_session(finished.identity.pid)


async def test_69_a_memory_limit_ends_a_leak(runner: Harness) -> None:
    finished = await runner.run("ends:leaks", limits=Limits(memory_bytes=400_000_000))
    assert finished.ending.kind is EndKind.RAISED
    assert error_of(finished)[0] == "MemoryError"


async def test_69_a_limit_of_processor_time_ends_a_busy_loop(runner: Harness) -> None:
    finished = await runner.run("ends:burns_processor_time", limits=Limits(cpu_seconds=1))
    assert finished.ending.signal == signal.SIGXCPU
    assert "more than 1 s of processor time" in error_of(finished)[1]


async def test_limits_that_are_above_the_systems_own_do_no_harm(runner: Harness) -> None:
    finished = await runner.run("ends:open_files_limit", limits=Limits(open_files=1 << 40))
    assert finished.result[0] == resource.getrlimit(resource.RLIMIT_NOFILE)[1]


# --- 70, 71: output ------------------------------------------------------------------------------


async def test_70_of_a_hundred_megabytes_the_head_and_the_tail_are_kept(runner: Harness) -> None:
    finished = await runner.run("chatty:hundred_megabytes")
    messages = finished.messages
    kept = sum(len(message) + 1 for message in messages)
    assert messages[0] == "first line"
    assert messages[-1] == "last line"
    assert finished.ending.dropped_bytes == pytest.approx(100_000_000 - 524_288, abs=20_000)
    assert kept == pytest.approx(524_288, abs=20_000)
    assert [line for line in finished.lines if line["stream"] == "system"]


async def test_70_a_hundred_megabytes_cost_the_keeper_no_memory(runner: Harness) -> None:
    finished = await runner.run("chatty:most_of_its_keeper")
    assert isinstance(finished.result, int)
    assert finished.result < 48 * 1024


async def test_70_a_million_lines_are_bounded(runner: Harness) -> None:
    finished = await runner.run("chatty:million_lines")
    assert finished.ending.kind is EndKind.RETURNED
    assert len(finished.lines) < 70_000
    assert finished.messages[-1] == "999999"


async def test_70_a_line_without_an_end_comes_in_pieces(runner: Harness) -> None:
    finished = await runner.run("chatty:no_newline")
    assert "".join(finished.messages) == "é" * 100_000
    assert max(len(message.encode()) for message in finished.messages) <= 16_384


async def test_70_strange_bytes_become_text(runner: Harness) -> None:
    finished = await runner.run("chatty:strange_bytes")
    assert finished.messages == [
        "\ufffd\ufffd invalid",
        "nul \x00 here",
        "\x1b[31mred\x1b[0m",
        "windows",
        'line\u2028separator }"',
        "",
    ]


async def test_70_log_records_are_bounded_too(runner: Harness) -> None:
    finished = await runner.run("chatty:many_records")
    assert finished.messages[0].startswith("record 0 ")
    assert finished.messages[-1].startswith("record 4999 ")
    assert finished.ending.dropped_bytes > 500_000


async def test_71_closed_streams_are_no_harm(runner: Harness) -> None:
    assert (await runner.run("chatty:closes_its_streams")).result == "quiet"


async def test_71_a_handler_that_closes_everything_gets_no_message_of_ours_into_its_files(
    runner: Harness, tmp_path: Path
) -> None:
    target = tmp_path / "written"
    finished = await runner.run("chatty:closes_everything", metadata={"file": str(target)})
    assert (finished.ending.kind, finished.ending.exit_code) == (EndKind.EXITED, 0)
    contents = [read(f"{target}{number}") for number in ("", "2", "3", "4")]
    assert contents == ["0", "1", "2", "3"]


async def test_71_stdin_is_empty_and_there_is_no_terminal(runner: Harness) -> None:
    assert (await runner.run("chatty:reads_stdin")).result == ""
    assert error_of(await runner.run("chatty:opens_the_terminal"))[0] == "OSError"


# --- 72, 73: isolation ---------------------------------------------------------------------------


async def look(runner: Harness, **fields: Any) -> dict[str, Any]:
    seen: dict[str, Any] = (await runner.run("world:look", **fields)).result
    return seen


async def test_72_no_descriptor_of_ours_is_inherited(runner: Harness) -> None:
    other = runner.launch("plain:waits_to_be_stopped")
    await runner.line_of(other)
    seen = await look(runner)
    numbers = [number for number, _ in seen["fds"]]
    kinds = [target.partition(":")[0] for _, target in seen["fds"]]
    assert numbers == [0, 1, 2, 3]
    assert kinds == ["/dev/null", "pipe", "pipe", "socket"]


async def test_72_the_environment_is_built_from_an_allow_list(tmp_path: Path) -> None:
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/root",
        "LC_TIME": "C",
        "SECRET_TOKEN": "s3cret",
        "NOTIFY_SOCKET": "/run/notify",
        "APP_ONE": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    made = config(
        tmp_path,
        environ=environ,
        pass_env=("APP_*",),
        socket_path=Path("/run/luad.sock"),
        cwd=tmp_path,
    )
    runner = Harness(made)
    await runner.runner.start()
    seen = await look(runner, env=(("EXTRA", "yes"), ("TZ", "Asia/Tokyo")))
    await runner.runner.close()
    assert seen["env"].pop("LUAD_RUN_ID").startswith("run_")
    assert seen["env"] == {
        "PATH": "/usr/bin:/bin",
        "HOME": "/root",
        "LC_TIME": "C",
        "APP_ONE": "1",
        "EXTRA": "yes",
        "TZ": "Asia/Tokyo",
        "PYTHONUNBUFFERED": "1",
        "LUAD_JOB": "a-job",
        "LUAD_ATTEMPT": "1",
        "LUAD_SCHEDULED_FOR": "1970-01-01T00:00:01Z",
        "LUAD_SOCKET": "/run/luad.sock",
    }
    assert not any("SECRET" in item or "NOTIFY" in item for item in seen["exec_env"])
    assert seen["cwd"] == str(tmp_path)
    assert seen["zone"] == "JST"


async def test_73_what_a_handler_changes_ends_with_it(runner: Harness) -> None:
    before = await look(runner)
    assert (await runner.run("world:change")).ending.kind is EndKind.RETURNED
    after = await look(runner)
    same = ("cwd", "umask", "nice", "path", "argv", "blocked", "ignored", "policy", "nofile", "as")
    assert {key: before[key] for key in same} == {key: after[key] for key in same}
    assert "LEFT_BEHIND" not in after["env"]


async def test_73_a_run_leads_a_session_and_has_default_signals(runner: Harness) -> None:
    seen = await look(runner, name="my-job", nice=3, limits=Limits(open_files=64))
    assert seen["sid"] == seen["pgid"] == seen["pid"]
    assert seen["blocked"] == 0
    assert set(seen["ignored"]) == {signal.SIGPIPE, signal.SIGXFSZ}, "as in any Python"
    assert seen["policy"] == os.sched_getscheduler(0)
    assert seen["comm"] == "my-job"
    assert seen["nice"] == os.nice(0) + 3
    assert seen["nofile"] == 64
    assert seen["path"][0] == str(runner.config.handlers_path[0])
    assert "" not in seen["path"]
    assert seen["argv"] == ["world:look"]


# --- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (
            "returns_a_set",
            "`result['rows'][1]` is of type set, which JSON does not have; return sor",
        ),
        ("returns_nan", "`result[0]` is a float of value nan"),
        ("returns_itself", "contains itself"),
        ("returns_depth", "nested more than 64 levels"),
    ],
)
async def test_a_result_that_is_not_json_is_left_out_and_the_run_has_succeeded(
    runner: Harness, handler: str, words: str
) -> None:
    finished = await runner.run(f"ends:{handler}")
    assert finished.ending.kind is EndKind.RETURNED
    assert finished.ending.result_json is None
    assert words in finished.ending.result_omitted


async def test_a_result_that_the_keeper_cannot_read_is_left_out(runner: Harness) -> None:
    finished = await runner.run("ends:returns_many_digits")
    assert finished.ending.kind is EndKind.RETURNED
    assert "cannot be read back" in finished.ending.result_omitted


async def test_a_long_result_is_cut_and_marked(runner: Harness) -> None:
    finished = await runner.run("ends:returns_much")
    assert finished.ending.is_result_truncated
    assert finished.result.startswith('"ééé')
    assert len(finished.result) < 5_000


async def test_surrogates_do_not_reach_the_store(runner: Harness) -> None:
    assert (await runner.run("ends:returns_surrogates")).result == "a?b"


async def test_a_forked_child_that_comes_back_reports_nothing(runner: Harness) -> None:
    assert (await runner.run("ends:forks_and_comes_back")).result == "parent"


async def test_forged_messages_hurt_nobody(runner: Harness) -> None:
    finished = await runner.run("ends:forges_messages")
    assert finished.ending.kind in {EndKind.RETURNED, EndKind.EXITED}
    await assert_next_is_fine(runner)


# --- the world says no ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"env": (("A", "nul\0"),)}, "null byte"),
        ({"metadata": {"a": {1, 2}}}, "not JSON serializable"),
    ],
)
async def test_what_cannot_be_passed_on_has_not_started(
    runner: Harness, fields: dict[str, Any], words: str
) -> None:
    finished = await runner.run("plain:nothing", **fields)
    assert finished.ending.kind is EndKind.NOT_STARTED
    assert words in error_of(finished)[1]
    assert not finished.ending.is_retryable
    await assert_next_is_fine(runner)


async def test_a_folder_that_is_gone_has_not_started(tmp_path: Path) -> None:
    runner = Harness(config(tmp_path, cwd=tmp_path / "absent"))
    await runner.runner.start()
    finished = await runner.run("plain:nothing")
    await runner.runner.close()
    assert finished.ending.kind is EndKind.NOT_STARTED
    assert "absent" in error_of(finished)[1]
    assert finished.ending.is_retryable


def read(path: str) -> str:
    return Path(path).read_text()


def _alive_in_session(session: int) -> list[Stat]:
    """Return the processes of *session*, without those that have ended and wait for their parent to notice."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    stats = [stat for stat in map(read_stat, pids) if stat is not None]
    return [stat for stat in stats if stat.session == session and stat.state not in {"Z", "X"}]


@pytest.mark.parametrize("timeout_ms", [None, 100 * DAY])
async def test_a_run_without_a_near_time_limit_runs(
    runner: Harness, timeout_ms: int | None
) -> None:
    # A hundred days are more milliseconds than `poll` can count.
    finished = await runner.run("ends:says_deadline", timeout_ms=timeout_ms)
    assert finished.ending.kind is EndKind.RETURNED
    assert (finished.result is None) is (timeout_ms is None)


async def test_71_a_result_that_luad_never_got_is_said_to_be_left_out(runner: Harness) -> None:
    finished = await runner.run("ends:closes_all_and_returns")
    assert (finished.ending.kind, finished.ending.result_json) == (EndKind.EXITED, None)
    assert "without a report" in finished.ending.result_omitted


@pytest.mark.parametrize(
    ("then", "kind", "code"),
    [
        ("raise", EndKind.RAISED, 1),
        ("exit", EndKind.EXITED, 4),
        ("kill", EndKind.SIGNALLED, None),
        ("return", EndKind.RETURNED, 0),
    ],
)
async def test_71_a_forged_report_does_not_outweigh_how_the_process_ended(
    runner: Harness, then: str, kind: EndKind, code: int | None
) -> None:
    finished = await runner.run("ends:forges", metadata={"then": then})
    assert (finished.ending.kind, finished.ending.exit_code) == (kind, code)
    if then == "raise":
        assert error_of(finished)[:2] == ("ValueError", "mine")
    if then == "return":
        assert finished.result == "true"
    else:
        assert finished.ending.result_json is None
