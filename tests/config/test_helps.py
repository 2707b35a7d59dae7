"""The help of a problem is a line that can be written instead, and never one that is wrong too."""

from __future__ import annotations

import pytest

from luad.config.jobs.handler_words import help_for_handler, is_handler
from luad.config.jobs.job_file import load_file
from luad.config.settings.daemon_settings import Settings
from luad.wire import parse_instant

NOW = parse_instant("2026-11-22T10:00:00Z")
SCHEDULE = 'schedule: {type: cron, expression: "0 3 * * *"}\n'
COMMAND = "to run a command, write  handler: luad.handlers.shell:run  and  metadata: {command: ...}"


def helps(text: str) -> list[str]:
    return [
        each.help
        for each in load_file("jobs.d/a.yaml", text.encode(), settings=Settings(), now=NOW).problems
    ]


@pytest.mark.parametrize(
    ("written", "help_text"),
    [
        ("handlers/hello.py", "write  handler: hello:FUNCTION"),
        ("./reports/daily.py:send", "write  handler: reports.daily:send"),
        ("hello:main()", "luad calls the function: write  handler: hello:main"),
        ("hello:main(job, 5)", "luad calls the function: write  handler: hello:main"),
        ("from shop.mail import send", "write  handler: shop.mail:send"),
        ("./backup.sh", COMMAND),
        ("bash backup.sh", COMMAND),
        ("/usr/bin/rsync", COMMAND),
        ("~/bin/backup", COMMAND),
        ("node report.js --all", COMMAND),
    ],
)
def test_the_help_for_a_handler_fits_what_was_meant(written: str, help_text: str) -> None:
    assert not is_handler(written)
    assert help_for_handler(written) == help_text


@pytest.mark.parametrize("key", ["timeout", "jitter", "catch_up_window", "max_running", "nice"])
def test_the_help_never_offers_a_boolean_where_none_is_taken(key: str) -> None:
    (help_text,) = helps(f"name: a\nhandler: a:b\n{SCHEDULE}{key}: yes\n")
    assert "true" not in help_text


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        ("reports:daily_sales", "daily-sales"),
        ("shop.mail:run", "mail"),
        ("luad.handlers.shell:run", "daily-cleanup"),
        ("5", "daily-cleanup"),
    ],
)
def test_the_help_for_a_missing_name_follows_the_handler(handler: str, name: str) -> None:
    assert f"write  name: {name}" in helps(f"handler: {handler}\n{SCHEDULE}")
