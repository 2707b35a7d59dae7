"""Options that do nothing together are refused, and suggestions are close ones."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from luad.cli import COMMANDS, command_group
from luad.cli.base import Command
from luad.cli.option_conflicts import _named
from luad.cli.terminal.failure import EXIT_CODES, ExitCode
from luad.suggestions import close_to

TOGETHER = [
    "--utc list --tz Asia/Tokyo",
    "list --socket /a --url http://b",
    "list --offline --url http://b",
    "list --offline --socket /a",
    "--url http://b list --offline",
    "list --offline --all",
    "list -a --offline",
    "next --per-job --group-by hour",
    "next --group-by hour --json",
    "next --offline --url http://b",
    "init --minimal --no-example",
    "new a --stdout --json",
    "new a --every 1h --timezone UTC",
    "check --fix --diff",
    "check --diff --format concise",
    "check --diff --json",
    "check --format concise --json",
    "test a --pdb --json",
    "test a --require-delivery",
    "test a --require-delivery --send log",
    "test mod:run --persist",
    "show a --yaml --json",
    "show a --yaml --log",
    "show a --yaml --traceback full",
    "history --csv --json",
    "history --all -n 5",
    "history --failed --status succeeded",
    "history --since 1h --until 2h",
    "logs -f --failed",
    "logs --failed run_01M8NPPNVVVW9GQK7D66QM5R6M",
    "logs --raw --json",
    "logs --no-prefix --json",
    "retry run_1 --since 2h",
    "pause a --all",
    "pause --all -t x",
    "resume a --all",
    "resume --all --tag x",
    "create --handler a:b --in 5m --backoff 1m",
    "create --handler a:b --every 5m --keep",
    "create --handler a:b --in 5m --if-exists replace",
    "create --handler a:b --cron @daily --keep",
    "schema job name --write .luad",
    "users show ann --name Ann",
    "users test ann --dynamic",
    "users show ann -n 5",
    "users list ann",
    "token list x",
    "store reopen --to postgresql://luad@db/luad",
    "store check --state x",
    "token revoke x --role admin",
]


@pytest.mark.parametrize("line", TOGETHER)
def test_options_that_do_nothing_together_are_refused_before_anything_is_done(
    luad: Any, peer: Any, line: str
) -> None:
    result = luad(*line.split())
    assert result.code == ExitCode.USAGE, result
    assert result.err.startswith(("error[usage]: ", '{"type": "/problems/usage"')), result
    assert result.out == ""
    assert peer.asked == []


def test_every_rule_names_options_that_the_command_has() -> None:
    group = command_group()
    with group.make_context("luad", ["list"], resilient_parsing=True) as root:
        for name in COMMANDS:
            command = group.get_command(root, name)
            assert isinstance(command, Command)
            with command.make_context(name, [], parent=root, resilient_parsing=True) as ctx:
                for rule in command.rules:
                    names = {
                        key: getattr(rule, key, ()) for key in ("one", "other", "option", "others")
                    }
                    for each in names.values():
                        for option in [each] if isinstance(each, str) else each:
                            assert list(_named(ctx, option)), (name, option)


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("daily-cleanp", ["daily-cleanup", "hourly"], ("daily-cleanup",)),
        ("hist", ["history", "logs"], ("history",)),
        ("lsit", ["list", "logs"], ("list",)),
        ("cleanup", ["daily-cleanup"], ("daily-cleanup",)),
        ("anna", ["ann", "bob"], ("ann",)),
        ("statistics", ["status", "list"], ()),
        ("billing", ["filing-jobs"], ()),
        ("stop", ["status", "show"], ()),
        ("cron", ["run", "conf"], ()),
        ("abcdef", ["abdfeg"], ()),
    ],
)
def test_only_a_close_word_is_suggested(word: str, known: list[str], near: tuple[str, ...]) -> None:
    assert close_to(word, known, 3) == near


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lst", "did you mean `luad list`?"),
        ("statistics", "luad --help lists the commands"),
        ("list --staus x", "did you mean `--status`?"),
        ("list --follow", "luad list --help"),
        ("help exit-cods", "did you mean `luad help exit-codes`?"),
        ("schema job zzz", "it has: name"),
    ],
)
def test_a_command_suggests_what_is_close_and_else_says_where_to_look(
    luad: Any, line: str, said: str
) -> None:
    assert f"hint: {said}" in luad(*line.split()).err


@pytest.mark.parametrize(
    "line",
    [
        "explain blue",
        "explain 60 * * * *",
        "explain every 0s",
        "explain 0 9 * * * --tz Mars/X",
        "--config missing.yaml list --offline",
        "--config missing.yaml check",
        "new a --cron blue",
        "create a --handler b:c --in 5m --metadata-file missing.json",
    ],
)
def test_arguments_that_cannot_be_meant_exit_with_2(luad: Any, line: str) -> None:
    assert luad(*line.split()).code == ExitCode.USAGE


def test_every_problem_of_the_api_has_an_exit_code() -> None:
    from luad.api.http.api_problems import TABLE

    general = {"internal", "method_not_allowed"}  # luad's own mistakes
    assert TABLE.keys() - EXIT_CODES.keys() == general


@pytest.mark.parametrize("command", ["run a", "pause a", "resume a"])
def test_a_tag_that_no_job_has_is_an_error_also_beside_a_name(
    luad: Any, peer: Any, command: str
) -> None:
    peer.answers["GET /jobs"] = {"jobs": [{"name": "b", "tags": ["night"]}]}
    result = luad(*command.split(), "-t", "night", "-t", "nihgt")
    assert result.code == ExitCode.NOT_FOUND
    assert "no job has the tag nihgt" in result.err
    assert [each.method for each in peer.asked] == ["GET"]


def test_metadata_without_a_key_say_so(luad: Any) -> None:
    assert "`=x` has no key before the `=`" in luad("run", "a", "-m", "=x").err
    assert "`x` has no `=`" in luad("run", "a", "-m", "x").err


@pytest.mark.parametrize("action", ["check", "upgrade", "copy", "reopen"])
def test_a_store_without_its_library_says_what_to_install(
    luad: Any, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    for name in [each for each in sys.modules if each.startswith(("luad.store.m", "luad.store.p"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    to = () if action == "reopen" else ("--to", "postgresql://luad@db/luad")
    result = luad("store", action, *to, "--yes")
    assert result.code == ExitCode.UNAVAILABLE, result
    assert "needs psycopg" in result.err
    assert "hint: pip install" in result.err


@pytest.mark.parametrize(
    "line",
    [
        "check --select LU999",
        "check --ignore LU9",
        "check --select LU1 --ignore LU1",
        "check --select LU102 --ignore LU1",
        "check --select LU102,LU103 --ignore LU102 --ignore LU103",
    ],
)
def test_a_selection_that_can_find_nothing_is_refused(luad: Any, line: str) -> None:
    assert luad(*line.split()).code == ExitCode.USAGE


def test_a_selection_that_leaves_a_code_is_accepted(luad: Any, tmp_path: Any) -> None:
    (tmp_path / "jobs.d").mkdir()
    assert luad("check", "--select", "LU1", "--ignore", "LU102").code == ExitCode.OK


def test_a_check_of_a_folder_without_job_files_says_so(luad: Any, tmp_path: Any) -> None:
    (tmp_path / "handlers").mkdir()
    result = luad("check", "handlers")
    assert result.code == ExitCode.OK
    assert "warning: handlers has no file to check; luad reads *.yaml and *.yml" in result.err


def test_what_only_the_daemon_knows_is_not_answered_from_the_files(
    luad: Any, tmp_path: Any
) -> None:
    (tmp_path / "jobs.d").mkdir()
    assert luad("list", "--offline", "--status", "failing").code == ExitCode.USAGE
    assert luad("list", "--status", "failing").code == ExitCode.UNAVAILABLE
    assert luad("list", "--offline", "--status", "active").code == ExitCode.OK


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Foo/Bar", "IANA names look like Europe/London"),
        ("Europe/Lodon", "did you mean `Europe/London`"),
        ("UTC+2", "write a place, such as"),
    ],
)
def test_a_wrong_zone_says_what_to_write(luad: Any, zone: str, said: str) -> None:
    assert f"hint: {said}" in luad("explain", "@daily", "--tz", zone).err


def test_stop_says_how_the_daemon_is_stopped(luad: Any) -> None:
    hint = "hint: luad cancel --help; Ctrl-C or systemctl stop luad ends the daemon"
    assert hint in luad("stop").err


@pytest.mark.parametrize("command", ["new a", "create a --handler a:b", "remind ann x", "edit a"])
def test_a_cron_line_without_quotes_says_to_put_it_into_quotes(luad: Any, command: str) -> None:
    result = luad(*command.split(), "--cron", "0", "9", "handlers", "jobs.d")
    assert result.code == ExitCode.USAGE
    assert "hint: put the cron line into quotes:  --cron '0 9 * * *'" in result.err
