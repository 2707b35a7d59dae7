"""Jobs that load and probably do not mean what they say: each gets one warning, at its place."""

from __future__ import annotations

import pytest

from luad.config.cron_advice import cron_doubts, zone_doubt
from luad.config.jobs.job_file import load_file
from luad.config.settings.daemon_settings import (
    Settings,
    SettingsFile,
    check_settings,
    load_settings,
)
from luad.config.users.user_file import check_users
from luad.core.cron.search import compile_cron
from luad.errors import Problem, Severity
from luad.watcher import FileVersion

SHELL = "luad.handlers.shell:run"


def warnings(
    text: str = "", *, cron: str = "0 3 * * *", zone: str = "", handler: str = "m:f"
) -> list[Problem]:
    zone = f", timezone: {zone}" if zone else ""
    head = f"name: job\nhandler: {handler}\n"
    head += f'schedule: {{type: cron, expression: "{cron}"{zone}}}\n'
    found = load_file("x.yaml", (head + text).encode(), settings=Settings())
    assert all(each.severity is Severity.WARNING for each in found.problems), found.problems
    return list(found.problems)


def codes(text: str = "", **rest: str) -> list[str]:
    return [each.code for each in warnings(text, **rest)]


# --- env: passed as it is written ---------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "${DB_PASSWORD}",
        "$HOME/bin",
        "/opt/bin:$PATH",
        "postgres://u@$DB_HOST/shop",
        "${PORT:-8080}",
        "prefix_$REGION",
        "--config=$conf",
        "$(date +%F)",
        "`hostname`",
    ],
)
def test_a_value_that_a_shell_would_expand_is_doubted(value: str) -> None:
    (found,) = warnings(f"env: {{X: '{value}'}}\n")
    assert found.code == "LU505"
    assert (found.line, found.pointer) == (4, "/env/X")


@pytest.mark.parametrize(
    "value", ["pa$$word", "costs $5", "a$b", "$", "100$", "\\$HOME", "$$HOME", "^[a-z]+$", "p$w0rd"]
)
def test_a_dollar_that_no_shell_would_expand_is_left_alone(value: str) -> None:
    assert codes(f"env: {{X: '{value}'}}\n") == []


def test_the_fix_for_a_variable_of_luads_own_is_to_pass_it_on() -> None:
    (found,) = warnings('env: {DB_PASSWORD: "${DB_PASSWORD}"}\n')
    assert "contains `${DB_PASSWORD}`" in found.message
    assert "pass_env: [DB_PASSWORD]" in found.help


@pytest.mark.parametrize(
    ("handler", "metadata", "pointer"),
    [
        (SHELL, "{command: 'true', env: {TOKEN: $API_TOKEN}}", "/metadata/env/TOKEN"),
        (SHELL, "{command: 'true', cwd: $HOME/work}", "/metadata/cwd"),
        (SHELL, "{command: [echo, $HOME]}", "/metadata/command"),
        ("luad.handlers.http:check", "{url: 'https://x/${ID}'}", "/metadata/url"),
        ("luad.handlers.files:prune", "{path: $HOME/tmp, older_than: 1d}", "/metadata/path"),
    ],
)
def test_parameters_of_shipped_handlers_are_literal_too(
    handler: str, metadata: str, pointer: str
) -> None:
    (found,) = warnings(f"metadata: {metadata}\n", handler=handler)
    assert (found.code, found.pointer) == ("LU505", pointer)


@pytest.mark.parametrize(
    ("handler", "metadata"),
    [
        (SHELL, "{command: 'echo $HOME ${X}'}"),
        (SHELL, "{command: [bash, -c, 'echo $HOME']}"),
        ("luad.handlers.message:send", "{text: 'it is $HOME'}"),
        ("reports:daily", "{template: '${name}'}"),
    ],
)
def test_a_text_that_something_else_reads_may_hold_variables(handler: str, metadata: str) -> None:
    assert codes(f"metadata: {metadata}\n", handler=handler) == []


# --- env: without effect ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONPATH",
        "PYTHONHASHSEED",
        "PYTHONWARNINGS",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "MALLOC_ARENA_MAX",
        "SHELL",
        "MAILTO",
        "CRON_TZ",
        "LUAD_JOB",
    ],
)
def test_a_variable_that_does_not_act_on_a_python_handler_is_told(name: str) -> None:
    (found,) = warnings(f"env: {{{name}: x}}\n")
    assert found.code == "LU506"
    assert name in found.message
    assert (found.line, found.column) == (4, 7)


@pytest.mark.parametrize(
    "name", ["PYTHONBREAKPOINT", "TZ", "PATH", "LANG", "PYTHONUNBUFFERED", "A"]
)
def test_a_variable_that_acts_is_left_alone(name: str) -> None:
    assert codes(f"env: {{{name}: x}}\n") == []


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_PRELOAD", "SHELL"])
def test_a_command_starts_after_the_variables_are_set(name: str) -> None:
    text = f"env: {{{name}: /bin/sh}}\nmetadata: {{command: 'true'}}\n"
    assert codes(text, handler=SHELL) == []


def test_a_list_command_has_no_shell() -> None:
    text = "env: {SHELL: /bin/bash}\nmetadata: {command: ['true']}\n"
    assert codes(text, handler=SHELL) == ["LU506"]


# --- cron lines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "meant"),
    [
        ("* */15 * * * *", "0 */15 * * * *"),
        ("* * */4 * * *", "0 0 */4 * * *"),
        ("* 0 9 * * *", "0 0 9 * * *"),
        ("* 2 * * *", "0 2 * * *"),
        ("* 2,14 * * *", "0 2,14 * * *"),
        ("0 * 2 * * *", "0 0 2 * * *"),
        ("* * 1 * *", "0 0 1 * *"),
        ("* * * * MON", "0 0 * * MON"),
        ("* * * 1 *", "0 0 * 1 *"),
    ],
)
def test_a_star_left_of_a_value_is_doubted(cron: str, meant: str) -> None:
    (found,) = cron_doubts(cron)
    assert found.code == "LU507"
    assert f'"{meant}"' in found.help
    compile_cron(meant)


def test_the_doubt_counts_the_runs_and_underlines_the_star() -> None:
    (found,) = warnings(cron="* 2 * * *")
    assert "60 runs a day" in found.message
    assert (found.line, found.column, found.end_column) == (3, 37, 38)


@pytest.mark.parametrize(
    "cron",
    [
        "* * * * *",
        "* * * * * *",
        "* 8-18 * * MON-FRI",
        "* * * * MON-FRI",
        "0-59 2 * * *",
        "*/5 2 * * *",
        "*/10 * 2 * * *",
        "0 9 * * *",
        "0 0 9 * * *",
        "@daily",
    ],
)
def test_a_line_that_says_what_it_does_is_left_alone(cron: str) -> None:
    assert cron_doubts(cron) == ()


@pytest.mark.parametrize("cron", ["0 9 13 * 5", "0 0 1,15 * MON", "0 0 L * 5", "0 0 0 1 * 1"])
def test_both_day_fields_mean_either(cron: str) -> None:
    (found,) = cron_doubts(cron)
    assert found.code == "LU508"
    assert "EITHER" in found.message


@pytest.mark.parametrize(("cron", "free"), [("0 0 1-31 * 5", "5"), ("0 0 1 * 0-6", "1")])
def test_a_day_field_that_is_full_frees_the_other(cron: str, free: str) -> None:
    (found,) = cron_doubts(cron)
    assert f"`{free}` has no effect" in found.message


def test_the_first_monday_has_a_spelling_of_its_own() -> None:
    (found,) = cron_doubts("0 9 1-7 * 1")
    assert '"0 9 * * MON#1"' in found.help
    compile_cron("0 9 * * MON#1")


@pytest.mark.parametrize("cron", ["0 9 13 * *", "0 9 * * 5", "0 0 13 * 5#2", "0 9 ? * 5"])
def test_one_day_field_is_left_alone(cron: str) -> None:
    assert cron_doubts(cron) == ()


@pytest.mark.parametrize(
    "cron",
    [
        "*/7 * * * *",
        "*/45 * * * *",
        "0 0 */2 * *",
        "0 */5 * * *",
        "0 0 1 */5 *",
        "0 9 * * */2",
        "0-59/7 * * * *",
        "3/7 * * * *",
        "*/7 * * * * *",
        "0 0 1/2 * *",
        "0 0 */16 * *",
    ],
)
def test_a_step_that_does_not_divide_its_cycle_is_doubted(cron: str) -> None:
    assert [each.code for each in cron_doubts(cron)] == ["LU509"]


@pytest.mark.parametrize(
    "cron",
    [
        "*/15 * * * *",
        "0 */6 * * *",
        "0 9-17/2 * * *",
        "5/10 * * * *",
        "*/7 9 * * *",
        "0 */5 * * 1",
        "0 0 1 */3 *",
        "0 0 */2 1 *",
        "*/60 * * * *",
        "0 0 1-15/2 * *",
    ],
)
def test_a_step_that_is_even_or_ends_on_purpose_is_left_alone(cron: str) -> None:
    assert cron_doubts(cron) == ()


# --- zones --------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["EST", "MST", "HST", "Etc/GMT+5", "Etc/GMT-3"])
def test_a_zone_without_summer_time_is_doubted(zone: str) -> None:
    (found,) = warnings(zone=zone)
    assert (found.code, found.pointer) == ("LU510", "/schedule/timezone")


def test_the_sign_of_such_a_zone_is_told_the_right_way_round() -> None:
    doubt = zone_doubt("Etc/GMT+5")
    assert doubt is not None
    assert "5 h behind UTC (UTC-5)" in doubt.message


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "GMT", "Asia/Tokyo", "America/Panama", "CET"])
def test_other_zones_are_left_alone(zone: str) -> None:
    assert zone_doubt(zone) is None


def test_the_daemons_own_zone_is_not_told_at_every_job() -> None:
    text = 'name: a\nhandler: m:f\nschedule: {type: cron, expression: "0 9 * * *"}\n'
    assert load_file("x.yaml", text.encode(), settings=Settings(timezone="EST")).problems == ()


def test_the_zone_of_the_settings_and_of_a_user_are_doubted_where_they_stand() -> None:
    file = SettingsFile("luad.yaml", b"timezone: EST\n")
    _, problems = check_settings(file)
    assert [(each.code, each.line) for each in problems] == [("LU510", 1)]
    assert load_settings({}, {}, file).timezone == "EST"
    users = {"u.yaml": FileVersion("u.yaml", b"id: ann\ntimezone: MST\n", "k")}
    assert [each.code for each in check_users(users, 1 << 20).problems] == ["LU510"]


@pytest.mark.parametrize(
    ("line", "help_text"),
    [
        (
            'PATH: "/opt/bin:$PATH"',
            "write the whole value, such as  PATH: /opt/bin:/usr/local/bin:/usr/bin:/bin",
        ),
        ('HOME: "$HOME/x"', "write the whole value, with the value of `$HOME`"),
        ('PATH: "$PATH"', "delete the line, and pass luad's own variable"),
        ('TOKEN: "${TOKEN}"', "delete the line, and pass luad's own variable"),
    ],
)
def test_a_value_that_adds_to_a_variable_is_written_whole(line: str, help_text: str) -> None:
    text = f"name: a\nhandler: m:f\nschedule: {{type: interval, every: 1h}}\nenv: {{{line}}}\n"
    (found,) = load_file("a.yaml", text.encode(), settings=Settings()).problems
    assert found.code == "LU505"
    assert found.help.startswith(help_text)
