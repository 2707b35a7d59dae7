"""`luad.handlers.shell` without a Python process: the keeper starts the command, with the same records."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from support.runner_harness import Finished, Harness, is_gone

from luad.core.model import EndKind, Limits
from luad.runner.processes import read_stat

SHELL = "luad.handlers.shell:run"


async def command(runner: Harness, text: str | list[str], **fields: Any) -> Finished:
    metadata = {"command": text, **fields.pop("metadata", {})}
    return await runner.run(SHELL, metadata=metadata, **fields)


PARENT = 'read -r _ name _ < /proc/$PPID/stat; echo "$name"'


async def test_the_parent_of_a_command_is_the_keeper(runner: Harness) -> None:
    finished = await command(runner, PARENT)
    assert finished.messages == ["(luad-keeper)"]
    assert finished.result == {"exit_code": 0}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"nice": 1}, "(a-job)"),
        ({"metadata": {"cwd": "~"}}, "(a-job)"),
    ],
)
async def test_a_run_with_a_nice_value_has_a_python_process(
    runner: Harness, fields: dict[str, Any], name: str
) -> None:
    assert (await command(runner, PARENT, **fields)).messages == [name]


LIMITS = Limits(memory_bytes=300 << 20, cpu_seconds=7, open_files=100, processes=5_000)


async def test_the_limits_of_a_command_are_set_without_a_python_process(runner: Harness) -> None:
    finished = await command(runner, ["cat", "/proc/self/limits"], limits=LIMITS)
    words = {line[:26].strip(): line[26:].split()[:2] for line in finished.messages}
    assert words["Max cpu time"] == ["7", "12"]
    assert words["Max open files"] == ["100", "100"]
    assert words["Max processes"] == ["5000", "5000"]
    assert words["Max address space"] == [str(300 << 20)] * 2
    assert (await command(runner, PARENT, limits=LIMITS)).messages == ["(luad-keeper)"]


async def test_the_words_of_a_limited_command_are_not_read_by_a_shell(runner: Harness) -> None:
    words = ["printf", "%s|", "a b", "$HOME", "`id`", "'; exit 3; '", ""]
    finished = await command(runner, words, limits=LIMITS)
    assert finished.messages == ["a b|$HOME|`id`|'; exit 3; '||"]


@pytest.mark.parametrize("words", [["/no/such/program"], ["./text"]])
async def test_a_limited_command_that_is_no_program_is_told_as_usual(
    runner: Harness, tmp_path: Path, words: list[str]
) -> None:
    text = tmp_path / "text"
    text.write_text("echo hello\n")
    text.chmod(0o700)
    metadata = {"cwd": str(tmp_path)}
    limited = (await command(runner, words, metadata=metadata, limits=LIMITS)).ending
    usual = (await command(runner, words, metadata=metadata)).ending
    assert limited.error is not None
    assert usual.error is not None
    assert limited.error.message == usual.error.message


async def test_a_lower_limit_of_the_system_stays(runner: Harness) -> None:
    finished = await command(runner, "ulimit -n", limits=Limits(open_files=1_048_576))
    assert int(finished.messages[0]) <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]


async def test_a_command_above_its_processor_time_is_ended(runner: Harness) -> None:
    loop = "while :; do :; done"
    ending = (await command(runner, loop, limits=Limits(cpu_seconds=1))).ending
    assert ending.error is not None
    assert "killed by SIGXCPU" in ending.error.message


async def test_output_order_environment_and_folder(runner: Harness) -> None:
    metadata = {"env": {"WHO": "me", "COUNT": 3}, "cwd": "/usr"}
    text = 'echo "$WHO $COUNT $LUAD_JOB $MINE"; pwd; echo "${LUAD_SHELL-none} $PYTHONUNBUFFERED"'
    finished = await command(runner, text, metadata=metadata, env=(("MINE", "x"),))
    assert finished.messages == ["me 3 a-job x", "/usr", "none 1"]
    assert {line["stream"] for line in finished.lines} == {"stdout"}


async def test_a_shell_of_the_job_runs_the_command(runner: Harness) -> None:
    finished = await command(runner, "echo $0", env=(("SHELL", "/bin/bash"),))
    assert finished.messages == ["/bin/bash"]


async def test_a_command_inherits_no_signal_setting_and_no_scheduling_policy(
    runner: Harness,
) -> None:
    finished = await command(runner, ["cat", "/proc/self/status", "/proc/self/stat"])
    fields = dict(line.split(":\t") for line in finished.messages[:-1] if ":\t" in line)
    assert int(fields["SigBlk"], 16) == 0
    # posix_spawn of the C library ignores the signals 32 and 33, which are its own: make may have used it.
    assert int(fields["SigIgn"], 16) & ~(0b11 << 31) == 0
    policy = finished.messages[-1].rpartition(")")[2].split()[38]
    assert int(policy) == os.SCHED_OTHER
    descriptors = await command(runner, "ls /proc/self/fd")
    assert descriptors.messages == ["0", "1", "2", "3"], "the last one is that of ls itself"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo before; exit 3", "exit code 3: echo before; exit 3"),
        ("kill -9 $$", "killed by SIGKILL (9): kill -9 $$"),
        ("/no/such/program", "`/no/such/program` does not exist"),
        (["/no/such/program"], "could not be started (No such file or directory)"),
    ],
)
async def test_a_failure_is_told_as_by_the_handler(
    runner: Harness, text: str | list[str], message: str
) -> None:
    ending = (await command(runner, text)).ending
    assert (ending.kind, ending.exit_code, ending.signal) == (EndKind.RAISED, 1, None)
    assert ending.error is not None
    assert message in ending.error.message
    assert ending.error.type.startswith("luad.handlers.shell.Command")
    assert ending.is_retryable is (isinstance(text, str))
    # The Python process says the same.
    slow = (await command(runner, text, nice=1)).ending
    assert slow.error is not None
    assert (slow.kind, slow.exit_code) == (ending.kind, 1)
    assert (slow.error.type, slow.error.message) == (ending.error.type, ending.error.message)


async def test_an_exit_code_that_means_success(runner: Harness) -> None:
    finished = await command(runner, "exit 24", metadata={"ok_exit_codes": [0, 24]})
    assert finished.ending.kind is EndKind.RETURNED
    assert finished.result == {"exit_code": 24}


async def test_a_command_that_is_not_valid_is_told_as_usual(runner: Harness) -> None:
    finished = await command(runner, "true", metadata={"ok_exit_codes": [900]})
    assert finished.ending.kind is EndKind.NOT_STARTED


async def test_a_time_limit_sends_term_then_kill_to_the_whole_group(runner: Harness) -> None:
    text = "trap 'echo asked' TERM; echo $$; sleep 300 & wait; sleep 300"
    finished = await command(runner, text, timeout_ms=400)
    assert finished.ending.kind is EndKind.TIMED_OUT
    assert finished.ending.error is not None
    assert "it had to be killed" in finished.ending.error.message
    assert "asked" in finished.messages
    assert is_gone(int(finished.messages[0]))


async def test_a_command_that_ends_when_it_is_stopped_is_cancelled(runner: Harness) -> None:
    key = runner.launch(SHELL, metadata={"command": "echo ready; sleep 300"})
    await runner.line_of(key)
    runner.runner.stop(*key)
    ending = (await runner.end_of(key)).ending
    assert (ending.kind, ending.signal) == (EndKind.CANCELLED, signal.SIGTERM)


LEFT = {
    "in session": "sleep 300 & echo $!",
    "without environment": "env -i setsid sh -c 'echo $$; exec sleep 300' &",
}


@pytest.mark.parametrize("kind", ["in session", "without environment"])
async def test_what_a_command_leaves_is_ended_and_counted(runner: Harness, kind: str) -> None:
    finished = await command(runner, LEFT[kind] + "\nsleep 0.1")
    pid = int(finished.messages[0])
    assert is_gone(pid)
    assert finished.ending.left_processes == 1
    assert f"(pid {pid})" in finished.messages[-1]


async def test_what_a_command_leaves_while_it_runs_is_not_taken_for_that_of_another(
    runner: Harness,
) -> None:
    """An adopted process without a sign of its run lives as long as the command may need it."""
    text = "(env -i setsid sh -c 'echo $$; exec sleep 300' &); sleep 300"
    keys = [runner.launch(SHELL, metadata={"command": text}) for _ in range(2)]
    await runner.until(lambda: all(key in runner.lines for key in keys))
    pids = [int(runner.lines[key][0]["message"]) for key in keys]
    for _ in range(4):
        await command(runner, "true")
    assert not any(is_gone(pid) for pid in pids)
    for key in keys:
        runner.runner.stop(*key)
        assert (await runner.end_of(key)).ending.kind is EndKind.CANCELLED
    assert all(is_gone(pid) for pid in pids)


async def test_a_command_whose_keeper_was_killed_is_ended_before_it_is_lost(
    runner: Harness,
) -> None:
    key = runner.launch(SHELL, metadata={"command": "echo ready; sleep 300 & wait"})
    identity = await runner.start_of(key)
    await runner.line_of(key)
    os.kill(runner.keeper_of(key), signal.SIGKILL)
    assert (await runner.end_of(key)).ending.kind is EndKind.LOST
    assert is_gone(identity.pid)
    stat = read_stat(identity.pid)
    assert stat is None or stat.state == "Z"


@pytest.mark.parametrize("fields", [{}, {"nice": 1}])
@pytest.mark.parametrize("text", ["exit 3", "kill -9 $$", ["no-such-program"], ""])
async def test_a_failed_command_has_a_message_and_no_stack_of_luad(
    runner: Harness, text: str | list[str], fields: dict[str, Any]
) -> None:
    error = (await command(runner, text, **fields)).ending.error
    assert error is not None
    assert error.message
    assert error.traceback == ""
