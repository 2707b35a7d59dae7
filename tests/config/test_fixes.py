"""A fix, and the text of a help, end the mistake: neither leads to the next one."""

from __future__ import annotations

import pytest

from luad.config.jobs.job_file import load_file
from luad.config.problems import render_full
from luad.config.settings.daemon_settings import Settings
from luad.config.yaml.fix import apply_fixes, mend
from luad.errors import Problem

HEAD = "name: a\nhandler: m:f\n"


def problems_of(text: str) -> tuple[Problem, ...]:
    return load_file("a.yaml", text.encode(), settings=Settings()).problems


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("schedule: */5 * * * *\n", "cron"),
        ("schedule: @daily\n", "cron"),
        ("schedule:   */5 * * * *  # often\n", "cron"),
        ("cron: */5 * * * *\n", "cron"),
        ("expression: */5 * * * *\n", "cron"),
        ("schedule: {cron: */5 * * * *}\n", "cron"),
        ("schedule: {type: cron, expression: */5 * * * *}\n", "cron"),
        ('schedule: {cron: "5 * * * *"}\n', "cron"),
        ('schedule:\n  crontab: "5 * * * *"\n  timezone: Europe/London\n', "cron"),
        ('schedule: {\n  cron: "5 * * * *"}\n', "cron"),
        ('schedule: {expresion: "5 * * * *"}\n', "cron"),
        ("schedule: {interval: 5m}\n", "interval"),
        ("schedule:\n    period: 5m\n", "interval"),
        ('schedule: {at: "2030-01-01T00:00:00Z"}\n', "once"),
        ('schedule: {type: cron, pattern: "5 * * * *"}\n', "cron"),
    ],
)
def test_one_fix_ends_the_mistake(text: str, kind: str) -> None:
    data = (HEAD + text).encode()
    found = problems_of(HEAD + text)
    assert len(found) == 1
    mended = apply_fixes(data, found)
    parsed = load_file("a.yaml", mended, settings=Settings())
    assert parsed.problems == ()
    (job,) = parsed.jobs
    assert job.job.definition["schedule"]["type"] == kind


def test_the_help_of_an_unquoted_schedule_is_the_whole_of_it() -> None:
    (problem,) = problems_of(f"{HEAD}schedule: */5 * * * *\n")
    assert problem.help == 'write  schedule: {type: cron, expression: "*/5 * * * *"}'


def test_each_change_is_told_with_its_place() -> None:
    text = HEAD + 'timout: 5m\nschedule:\n  cron: "5 * * * *"\n'
    _, told = mend(text.encode(), problems_of(text))
    assert told == [
        "3:1: `timout` -> `timeout`",
        "5:3: `cron` -> `type: cron, expression`",
    ]


@pytest.mark.parametrize("line", ["timeout: 1 hour", "retry: 3", "timeout: never"])
def test_what_the_help_has_in_full_is_not_to_be_found_out(line: str) -> None:
    text = f"{HEAD}schedule: {{type: interval, every: 1h}}\n{line}\n"
    shown = render_full(problems_of(text))
    assert "write what the help says" in shown
    assert "correct it by hand" not in shown


@pytest.mark.parametrize(
    ("line", "help_text"),
    [
        ('cron: "15 3 * * *"', 'schedule: {type: cron, expression: "15 3 * * *"}'),
        ('cron_expression: "@hourly"', 'schedule: {type: cron, expression: "@hourly"}'),
        ("every: 10m", "schedule: {type: interval, every: 10m}"),
        ("interval: 300", "schedule: {type: interval, seconds: 300}"),
        (
            'run_at: "2090-01-01T00:00:00Z"',
            'schedule: {type: once, execute_at: "2090-01-01T00:00:00Z"}',
        ),
        ("schedule: {type: interval, minutes: 7}", "every: 7m"),
        ("schedule: {type: interval, every: 1h}\ncoalesce: true", "catch_up: latest"),
        ("schedule: {type: interval, every: 1h}\ncoalesce: false", "catch_up: all"),
        ("schedule: {type: interval, every: 1h}\nconcurrencyPolicy: Forbid", "overlap: skip"),
    ],
)
def test_the_help_for_a_foreign_word_keeps_the_value_of_the_user(line: str, help_text: str) -> None:
    (problem,) = problems_of(f"{HEAD}{line}\n")
    assert problem.help == f"write  {help_text}"
    assert problem.fix is None
    first, _, last = line.rpartition("\n")
    mended = f"{first}\n{help_text}" if first else help_text
    if help_text.startswith("every"):
        mended = f"schedule: {{type: interval, {help_text}}}"
    assert problems_of(f"{HEAD}{mended}\n") == (), last


@pytest.mark.parametrize("line", ['cron: "61 3 * * *"', "every: soon", "run_at: later"])
def test_a_value_that_luad_does_not_take_is_not_put_into_a_help(line: str) -> None:
    (problem,) = problems_of(f"{HEAD}{line}\n")
    assert line.partition(": ")[2].strip('"') not in problem.help


def test_a_key_is_not_renamed_where_its_value_would_be_the_next_mistake() -> None:
    (problem,) = problems_of(f"{HEAD}schedule: {{type: interval, every: 1h}}\nmisfire: 5\n")
    assert problem.fix is None
    assert problem.help == "the key is `catch_up`; one of: latest, all, none"
