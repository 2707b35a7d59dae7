"""What is taken for a secret, and what is left of it."""

from __future__ import annotations

import pytest
from support.cost import turns

from luad.config.jobs import load_file
from luad.config.problems import render_full, to_github
from luad.config.secrets import (
    is_telling,
    is_worth,
    secret_values,
    shown_definition,
    without_passwords,
)
from luad.config.settings import Settings

JOB = "name: a\nhandler: m:f\nschedule: {type: interval, seconds: 60}\n"


@pytest.mark.parametrize(
    "name",
    [
        "TOKEN",
        "API_KEY",
        "DB_PASSWORD",
        "githubToken",
        "SMTP_PASS",
        "AUTH",
        "SENTRY_DSN",
        "x_sig",
        "DB_PWD",
    ],
)
def test_names_that_tell(name: str) -> None:
    assert is_telling(name)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "MONKEY",
        "KEYBOARD",
        "AUTHOR",
        "PASSENGER",
        "SIGNAL",
        "REGION",
        "DESIGN",
        "PWD",
        "OLDPWD",
    ],
)
def test_names_that_only_look_so(name: str) -> None:
    assert not is_telling(name)


@pytest.mark.parametrize("value", ["", "abc", "true", "None", "12345", " no "])
def test_a_value_that_would_hide_half_of_every_line_is_no_secret(value: str) -> None:
    assert not is_worth(value)
    assert secret_values([("TOKEN", value)]) == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://ann:pw@db/x", "postgres://ann:***@db/x"),
        ("at redis://:pw@r:1 and http://b:c@d", "at redis://:***@r:1 and http://b:***@d"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("ann@example.com", "ann@example.com"),
        ("https://ann@host/", "https://ann@host/"),
    ],
)
def test_the_password_of_an_address_is_not_shown(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    "text", ["://" * 30_000 + "@", "://a:" * 20_000 + "@", ":" * 90_000 + "//@"]
)
def test_looking_for_passwords_takes_time_linear_in_the_text(text: str) -> None:
    # about 50; a cost that grows with the square of the length would be 100,000
    assert turns(lambda: without_passwords(text), tries=1) < 2_000


def test_a_definition_is_shown_with_its_secrets_masked() -> None:
    env = {"API_KEY": "x", "REGION": "emea", "DATABASE_URL": "postgres://a:b@c/d"}
    shown = shown_definition({"name": "a", "env": env, "metadata": {"token": "meant to be seen"}})
    assert shown["env"] == {
        "API_KEY": "***",
        "REGION": "emea",
        "DATABASE_URL": "postgres://a:***@c/d",
    }
    assert shown["metadata"] == {"token": "meant to be seen"}
    assert env["API_KEY"] == "x"


@pytest.mark.parametrize("value", ["'***'", "postgres://a:***@c/d"])
def test_what_was_masked_is_not_taken_for_a_value(value: str) -> None:
    parsed = load_file("a.yaml", f"{JOB}env: {{A: {value}}}\n".encode(), settings=Settings())
    assert [problem.code for problem in parsed.problems] == ["LU104"]


@pytest.mark.parametrize(
    "text",
    [
        JOB + "env:\n  DB_PASSWORD: hunter22\n  TIMES: 3\n",
        JOB + "env: {DB_PASSWORD: hunter22, TIMES: 3}\n",
        JOB + "env:\n  DB_PASSWORD: 22334455\n",
        JOB + "env:\n  DB_PASSWORD: hunter22\n  TIMES: 'x\n",
        JOB + "timout: 5\nenv:\n  PASSWORD: hunter22\n",
        JOB + "env:\n  DB_PASSWORD: 'hunter22\n",
        JOB + "env:\n  DB_PASSWORD: *hunter22\n",
    ],
)
def test_a_mistake_beside_a_secret_does_not_show_it(text: str) -> None:
    problems = load_file("a.yaml", text.encode(), settings=Settings()).problems
    assert problems
    shown = render_full(problems) + "".join(map(to_github, problems)) + repr(problems)
    assert "hunter22" not in shown
    assert "22334455" not in shown
