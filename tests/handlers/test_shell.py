"""luad.handlers.shell with a real shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luad.core.model import Interval
from luad.core.model import Job as Declared
from luad.handlers.program import first_word
from luad.handlers.shell import CommandFailedError, CommandNotFoundError, run
from luad.runner.spec import own_environment
from luad.sdk import Job
from luad.sdk.not_retryable import NotRetryable

MakeJob = Callable[..., Job]


def test_a_command_line_runs_in_a_shell_and_its_output_is_inherited(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
    sys.stdout.write("before\n")
    assert run(make_job(command="echo one && echo two >&2 | cat")) == {"exit_code": 0}
    out, err = capfd.readouterr()
    assert out == "before\none\n"
    assert err == "two\n"


def test_a_percent_sign_needs_no_backslash(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
    run(make_job(command="date -u -d @0 +%Y%%"))
    assert capfd.readouterr().out == "1970%\n"


def test_a_list_runs_without_a_shell(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    run(make_job(command=["echo", "$HOME", "a b", ""]))
    assert capfd.readouterr().out == "$HOME a b \n"


def test_folder_and_environment_are_the_ones_asked_for(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(make_job(command="pwd; echo $WHO $COUNT", cwd=str(tmp_path), env={"WHO": "me", "COUNT": 3}))
    assert capfd.readouterr().out == f"{tmp_path}\nme 3\n"


def test_standard_input_is_empty(make_job: MakeJob) -> None:
    assert run(make_job(command="! read line")) == {"exit_code": 0}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 3", r"^exit code 3: exit 3$"),
        (
            "A=1 no-such-command-here --now",
            r"^exit code 127 \(command not found\): A=1 .*`no-such-command-here` is not found on the run's PATH \(/",
        ),
        (
            "true && no-such-command-here",
            r"^exit code 127 .*; the output names the missing program; the run's PATH is /",
        ),
        ("/no/such/program", r"^exit code 127 .*; `/no/such/program` does not exist$"),
        ("/etc/passwd", r"^exit code 126 \(found, but not executable\)"),
        ("kill -9 $$", r"^killed by SIGKILL \(9\): kill -9"),
        ("sh -c 'kill -TERM $$'; exit $?", r"^exit code 143 \(.*SIGTERM \(15\)"),
        (
            ["no-such-command-here"],
            r"^could not be started \(No such file or directory\): no-.* is not found on the run's PATH \(/",
        ),
        (["/etc/passwd"], r"^could not be started \(Permission denied\): .* is not executable$"),
        (["sh", "-c", "exit 4"], r"^exit code 4: sh -c 'exit 4'$"),
    ],
)
def test_a_failure_names_exit_code_or_signal(make_job: MakeJob, command: Any, said: str) -> None:
    with pytest.raises(CommandFailedError, match=said):
        run(make_job(command=command))


def test_other_exit_codes_can_mean_success(make_job: MakeJob) -> None:
    assert run(make_job(command="exit 24", ok_exit_codes=[0, 24])) == {"exit_code": 24}
    with pytest.raises(CommandFailedError, match="exit code 0"):
        run(make_job(command="true", ok_exit_codes=[1]))


def test_a_long_command_is_shortened_in_the_error(make_job: MakeJob) -> None:
    with pytest.raises(CommandFailedError) as caught:
        run(make_job(command="false " + "x" * 10_000))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "metadata.command: is missing"),
        ({"command": "  "}, "metadata.command: a text is needed"),
        ({"command": 5}, "metadata.command: a text or a list of texts"),
        ({"command": []}, "metadata.command: the list is empty"),
        ({"command": ["a", 1]}, "metadata.command: a text or a list of texts"),
        ({"command": "a\0b"}, "metadata.command: a NUL byte"),
        ({"comand": "true"}, "metadata.comand: is unknown; did you mean `command`"),
        (
            {"command": "true", "cwd": "/no/such/folder"},
            "metadata.cwd: /no/such/folder is not a folder",
        ),
        ({"command": "true", "env": {"A": [1]}}, "metadata.env.A: a text or a number"),
        ({"command": "true", "env": "A=1"}, "metadata.env: names with values"),
        ({"command": "true", "ok_exit_codes": 0}, "metadata.ok_exit_codes: write a list"),
        ({"command": "true", "ok_exit_codes": [256]}, "metadata.ok_exit_codes: write a list"),
        ({"command": "true", "ok_exit_codes": [True]}, "metadata.ok_exit_codes: write a list"),
    ],
)
def test_a_wrong_parameter_is_named(make_job: MakeJob, metadata: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run(make_job(**metadata))


def test_a_list_whose_program_is_missing_is_not_worth_a_repetition(
    make_job: MakeJob, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    for command, said in (
        (["no-such-command-here", "x"], "not found on the run's PATH"),
        ([str(tmp_path / "absent")], "does not exist"),
        ([str(tmp_path)], "is not executable"),
        ([str(script)], "its interpreter `/no/such/interpreter` does not"),
    ):
        with pytest.raises(CommandNotFoundError, match=said) as caught:
            run(make_job(command=command))
        assert isinstance(caught.value, NotRetryable)
    with pytest.raises(CommandFailedError) as caught:
        run(make_job(command=["sh", "-c", "exit 127"]))
    assert not isinstance(caught.value, NotRetryable), "the program did start"


def test_a_shell_line_that_finds_no_program_may_find_it_later(make_job: MakeJob) -> None:
    with pytest.raises(CommandFailedError) as caught:
        run(make_job(command="no-such-command-here"))
    assert not isinstance(caught.value, NotRetryable)


def test_the_path_of_the_metadata_decides(make_job: MakeJob, tmp_path: Path) -> None:
    program = tmp_path / "only-there"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert run(make_job(command=["only-there"], env={"PATH": str(tmp_path)})) == {"exit_code": 0}
    with pytest.raises(CommandNotFoundError, match=r"PATH \(/nowhere\)"):
        run(make_job(command=["only-there"], env={"PATH": "/nowhere"}))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("backup --all", "backup"),
        ("  backup\n", "backup"),
        ("LANG=C TZ=UTC backup", "backup"),
        ("/opt/x/run 'a | b'", "/opt/x/run"),
        ("echo hello", None),
        ("backup | gzip", None),
        ("backup; true", None),
        ("backup > file", None),
        ("backup &", None),
        ("(backup)", None),
        ("backup $(date)", None),
        ("backup `date`", None),
        ("backup\nrestore", None),
        ("$TOOL --all", None),
        ("~/bin/backup", None),
        ("PATH=/opt backup", None),
        ("if true", None),
        ("'backup", None),
        ("A=1", None),
        ("", None),
    ],
)
def test_the_program_of_a_line_is_known_where_the_shell_has_no_say(
    line: str, word: str | None
) -> None:
    assert first_word(line) == word


def test_keys_of_somebody_else_are_left_alone(make_job: MakeJob) -> None:
    assert run(make_job(command="true", region="emea", owner="ann")) == {"exit_code": 0}


_STOPPED = textwrap.dedent("""
    import os, signal, sys
    from luad.handlers.shell import run
    from luad.sdk import Cancelled, Job

    def stop(*_):
        raise Cancelled

    def stop_once_it_is_forked(_frame, event, function):
        if event == "c_return" and function.__name__.endswith(("fork_exec", "posix_spawn")):
            sys.setprofile(None)
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    if "early" in sys.argv:
        sys.setprofile(stop_once_it_is_forked)
    script = "trap 'echo tidied up; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    job = Job(name="a", run_id="r", scheduled_for_ms=0, started_at_ms=0,
              metadata={"command": script})
    try:
        run(job)
    except Cancelled:
        print("cancelled")
""")


def test_a_stopped_run_stops_its_command_and_lets_it_finish() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STOPPED], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        os.kill(child.pid, signal.SIGTERM)
        assert child.stdout.read() == "tidied up\ncancelled\n"
    assert child.returncode == 0


def test_a_run_that_is_stopped_while_its_command_starts_leaves_no_command_behind() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _STOPPED, "early"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    # The command may be ended before it has set its trap, and after.
    assert ended.stdout.splitlines()[-1] == "cancelled"
    assert ended.returncode == 0, ended.stderr


def test_the_jobs_own_shell_runs_a_text_command(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "odd-shell"
    shell.write_text(f'#!/bin/sh\necho "$2 ${{LUAD_SHELL-unset}}" > {tmp_path}/said\n')
    shell.chmod(0o755)
    monkeypatch.setenv("LUAD_SHELL", str(shell))  # what `SHELL` in the job's `env` becomes
    run(make_job(command="echo hello"))
    assert (tmp_path / "said").read_text() == "echo hello unset\n"
    monkeypatch.delenv("LUAD_SHELL")
    run(make_job(command="echo again", env={"SHELL": str(shell)}))
    assert (tmp_path / "said").read_text() == "echo again unset\n"


def test_the_shell_that_luad_was_started_with_runs_no_command(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/no/such/shell")
    run(make_job(command="true"))


def test_a_job_that_names_a_shell_is_told_from_a_daemon_that_has_one() -> None:
    job = Declared("a", "m:f", Interval(1000), env=(("SHELL", "/bin/bash"),))
    plain = own_environment(Declared("a", "m:f", Interval(1000)))
    assert own_environment(job) == {**plain, "SHELL": "/bin/bash", "LUAD_SHELL": "/bin/bash"}
    assert "LUAD_SHELL" not in plain
