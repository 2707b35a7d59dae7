"""The frame of every command: help, global options, exit codes, errors, streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from luad.cli import ALIASES, COMMANDS, command_group
from luad.cli.terminal.failure import ExitCode, exit_code_of
from luad.errors import ConflictError, LuadError, NotFoundError, RefusedError, StoreUnavailableError


def run_luad(*args: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "luad", *args], capture_output=True, text=True, check=False, **more
    )


def test_help_groups_the_commands_by_what_people_want(luad: Any) -> None:
    result = luad("--help")
    assert result.code == 0
    places = [result.out.index(f"\n{name}:\n") for name in ("Start here", "Look", "Act", "More")]
    assert places == sorted(places)
    for name, entry in COMMANDS.items():
        assert f"  {name}" in result.out
        assert entry.help in result.out


def test_no_command_at_all_shows_the_help(luad: Any) -> None:
    assert luad().out == luad("--help").out


@pytest.mark.parametrize("name", [*COMMANDS, *ALIASES])
def test_every_command_loads_and_has_a_help(luad: Any, name: str) -> None:
    result = luad(name, "--help")
    assert result.code == 0
    assert result.out.startswith("Usage: luad")
    context = click.Context(command_group())
    command = command_group().get_command(context, name)
    assert command is not None
    assert command.help


def test_an_unknown_command_gets_the_nearest_one(luad: Any) -> None:
    result = luad("histroy")
    assert (result.code, result.out) == (ExitCode.USAGE, "")
    assert result.err == (
        "error[usage]: `histroy` is not a command\n  hint: did you mean `luad history`?\n"
    )


def test_an_unknown_option_gets_the_nearest_one(luad: Any) -> None:
    result = luad("list", "--statsu", "x")
    assert result.code == ExitCode.USAGE
    assert result.err.startswith("error[usage]: no such option")
    assert "did you mean `--status`?" in result.err


def test_an_error_of_arguments_is_one_line(luad: Any) -> None:
    assert luad("completion").err.splitlines()[0].endswith("Choose from: bash, zsh, fish")


def test_with_json_an_error_is_one_problem_document_on_stderr(luad: Any) -> None:
    for args in (("--json", "histroy"), ("histroy", "--json"), ("list", "--json", "--nope")):
        result = luad(*args)
        assert result.out == ""
        assert result.problem["code"] == "usage"
        assert result.problem["type"] == "/problems/usage"
        assert result.problem["status"] == 400


def test_global_options_stand_before_or_after_the_command(luad: Any, peer: Any) -> None:
    peer.answers["GET /jobs"] = {"jobs": [], "hidden_dynamic": 0, "next_cursor": None}
    expected = luad("list", "--json").json
    assert luad("--json", "list").json == expected
    del os.environ["LUAD_SOCKET"]
    assert luad("--socket", peer.socket, "list", "--json").json == expected
    assert luad("list", "--socket", peer.socket, "--json").json == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("x"), 3),
        (ConflictError("x", code="file_owned"), 8),
        (ConflictError("x", code="some_new_conflict"), 8),
        (RefusedError("x", code="unauthenticated", status=401), 9),
        (RefusedError("x", code="forbidden", status=403), 10),
        (RefusedError("x", code="validation", status=422), 2),
        (RefusedError("x", code="internal", status=500), 1),
        (StoreUnavailableError("x"), 11),
        (LuadError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: LuadError, code: int) -> None:
    assert exit_code_of(error) == code


def test_what_the_daemon_does_not_know_is_told_with_what_is_near(luad: Any, peer: Any) -> None:
    document = {
        "type": "/problems/not-found",
        "status": 404,
        "code": "not_found",
        "detail": "no job named `daily-cleanp`",
        "hint": "did you mean `daily-cleanup`?",
        "suggestions": ["daily-cleanup"],
    }
    peer.answers["POST /jobs/daily-cleanp/trigger"] = (404, document)
    result = luad("run", "daily-cleanp")
    assert result.code == ExitCode.NOT_FOUND
    assert result.err == (
        "error[not_found]: no job named `daily-cleanp`\n  hint: did you mean `daily-cleanup`?\n"
    )
    told = luad("run", "daily-cleanp", "--json").problem
    assert {key: told[key] for key in document} == document


def test_without_a_daemon_the_socket_is_named(luad: Any, tmp_path: Path) -> None:
    result = luad("status")
    assert result.code == ExitCode.UNAVAILABLE
    path = tmp_path / "nobody.sock"
    assert f"error[unavailable]: cannot reach luad at {path} (no such socket)" in result.err
    assert "hint: check that it runs" in result.err


def test_colour_follows_the_variables_and_the_option(
    luad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[" not in luad("histroy").err
    assert "\x1b[31m" in luad("--color", "always", "histroy").err
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m" in luad("histroy").err
    assert "\x1b[" not in luad("--color", "never", "histroy").err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in luad("histroy").err


def test_a_locale_without_utf8_gets_ascii() -> None:
    environ = {**os.environ, "LANG": "C", "LC_ALL": "C", "LUAD_SOCKET": "/nowhere/luad.sock"}
    result = run_luad("status", env=environ)
    assert result.returncode == ExitCode.UNAVAILABLE
    assert result.stderr.isascii()


@pytest.mark.slow
def test_ctrl_c_ends_a_command_with_130(tmp_path: Path, peer: Any, lines: Any) -> None:
    peer.answers["GET /logs"] = lines(
        [{"ts": "2026-11-22T09:00:00Z", "message": "x"}], break_off=True
    )
    said = tmp_path / "said"
    with said.open("w") as err:
        process = subprocess.Popen(
            # a test run in the background of a shell ignores SIGINT, and so would its children
            ["env", "--default-signal=INT", sys.executable, "-m", "luad", "logs", "-f"],
            stderr=err,
        )
        while "waiting for the daemon" not in said.read_text():  # it follows, and has begun to wait
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == ExitCode.INTERRUPTED
    assert "Traceback" not in said.read_text()


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_trouble() -> None:
    command = f"{sys.executable} -m luad explain '* * * * *' -n 1000 | head -1"
    result = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] in {"0", str(int(ExitCode.BROKEN_PIPE))}


def test_version_in_words_and_as_json(luad: Any) -> None:
    assert luad("--version").out == luad("version", "-q").out == f"{luad('version').lines[0]}\n"
    found = luad("version", "--json").json
    assert found["luad"] in luad("version").out
    assert found["libraries"]["click"] != "not installed"
    shown = dict(line.split(maxsplit=1) for line in luad("version").lines)
    assert found == {
        **{key: shown.pop(key) for key in ("luad", "python", "executable", "platform")},
        "libraries": shown,
    }


def test_help_has_topics_and_knows_commands(luad: Any) -> None:
    assert "exit-codes" in luad("help").out
    assert "unavailable" in luad("help", "exit-codes").out
    assert luad("help", "list").out.startswith("Usage: luad list")
    users = luad("help", "users").out
    assert users.startswith("Users, their channels, and messages\n")
    assert "Usage: luad users" in users, "it is a command as well"
    old = luad("help", "people")
    assert (old.out, "`users`" in old.err) == (users, True)
    result = luad("help", "exit-cods")
    assert result.code == ExitCode.NOT_FOUND
    assert "did you mean `luad help exit-codes`?" in result.err


@pytest.mark.slow
def test_the_start_imports_nothing_that_only_the_daemon_needs() -> None:
    heavy = {"starlette", "sqlalchemy", "jsonschema", "yaml", "rich", "uvicorn", "structlog"}
    code = (
        "import sys, json; from luad.cli import main; main(['--help']);"
        "from luad.cli.commands import list_jobs, run, logs, status, create, users, token, schema; from luad import client;"
        "print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert heavy.isdisjoint(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *(("trigger", "run"), ("versions", "revisions"), ("executions", "history")),
        *(("deploy", "restore"), ("validate", "check"), ("start", "serve"), ("view", "show")),
    ],
)
def test_commands_of_other_schedulers_are_translated(luad: Any, word: str, meant: str) -> None:
    result = luad(word)
    assert result.code == 2
    assert f"`{word}` is not a command; luad calls it `{meant}`" in result.err
    assert f"luad {meant} --help" in result.err
