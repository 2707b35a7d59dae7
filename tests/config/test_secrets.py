"""Values that count as secrets, and their masked form."""

from __future__ import annotations

import pytest
from support.cost import turns

from luad.config.jobs.job_file import load_file
from luad.config.problems import render_full, to_github
from luad.config.secrets import (
    hiding,
    is_telling,
    is_worth,
    secret_values,
    shown_definition,
    without_passwords,
)
from luad.config.settings.daemon_settings import Settings

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


def shown_of(text: str) -> str:
    problems = load_file("a.yaml", text.encode(), settings=Settings()).problems
    assert problems
    return render_full(problems) + "".join(map(to_github, problems)) + repr(problems)


@pytest.mark.parametrize(
    "text",
    [
        "env: API_KEY=QQs3cret\n",
        "env: API_KEY = QQs3cret\n",
        "env: api_key=QQs3cret\n",
        "env: privateKey=QQs3cret\n",
        "env: 'API_KEY=QQs3cret'\n",
        "env: |\n  REGION=x\n  API_KEY=QQs3cret\n  export PGPASS=QQs3cret\n",
        "env: |\n  API_KEY: ab, QQs3cret # QQs3cret\n",
        "environment: API_KEY=QQs3cret\n",
        "environment:\n  - API_KEY=QQs3cret\n",
        "environment:\n  - name: API_KEY\n    value: QQs3cret\n",
        "API_KEY=QQs3cret\n",
        "API_KEY:QQs3cret\n",
        'env: {"API_KEY=QQs3cret": 1}\n',
        'env: {"API_KEY": ["QQs3cret"]}\n',
        'env: {"API_KEY":"QQs3cret", "x": [}\n',
        "env: [API_KEY=QQs3cret, userPasswd=QQs3cret]\n",
        "env: {privateKey: QQs3cret, A: [1]}\n",
        "Env: {API_KEY: ' QQs3cret ', dbPassword: x QQs3cret}\n",
        "env: {PRIVATE_KEY: |\n",
        "env:\n  PRIVATE_KEY: |\n    --- BEGIN\n    QQs3cret/QQs3cret\n  A: [1]\n",
        "command: curl -H api_key=QQs3cret\ntimout: 4\n",
        "user: https://u:QQs3cret@h/\n",
        "retry: postgres://ann:QQs3cret@db/x\n",
        "description: [postgres://ann:QQs3cret@db/x]\n",
        "timezone: postgres://ann:QQs3cretthatislongerthanamessageshows-QQs3cret@db/x\n",
        "overlap: https://h/?token=QQs3cret\n",
        f"retry: 5\ndescription: {'x' * 160} postgres://a:QQs3cret{'y' * 90}@h\n",
        "'https://u:QQs3cret@h/': 1\n",
    ],
)
@pytest.mark.parametrize("job", [JOB, JOB.removeprefix("name: a\n") + "name: [a]\n"])
def test_no_mistake_around_a_secret_shows_it(job: str, text: str) -> None:
    assert "QQ" not in shown_of(text + job)
    assert "QQ" not in shown_of(job + text)


def test_a_password_in_the_name_of_a_job_is_not_shown() -> None:
    text = "name: https://u:QQs3cret@h/\nhandler: m:f\nschedule: 5\n"
    assert "QQ" not in shown_of(text)


@pytest.mark.parametrize(
    "line",
    [
        "handler: tokens:refresh",
        "handler: auth:login",
        "description: the key is Key: x",
        "metadata: {key: value, token: meant}",
        "timezone: https://host:8080/x",
        "description: a == b",
    ],
)
def test_an_ordinary_text_beside_a_mistake_is_shown_as_it_is(line: str) -> None:
    assert line in shown_of(f"{line}\ntimout: 5\n{JOB}")


@pytest.mark.parametrize("name", ["privateKey", "PGPASS", "userPasswd", "dbPassword", "accessKey"])
def test_a_name_of_two_words_tells(name: str) -> None:
    assert is_telling(name)


@pytest.mark.parametrize("name", ["COMPASS", "BYPASS", "monkeyWrench", "pinned", "authorName"])
def test_a_part_of_a_word_does_not_tell(name: str) -> None:
    assert not is_telling(name)


@pytest.mark.parametrize(
    "text", ["a_key" * 30_000, "KEY=" * 20_000, "KEY" + " " * 90_000, "`K_KEY:" * 9_000]
)
def test_looking_for_assignments_takes_time_linear_in_the_text(text: str) -> None:
    assert turns(lambda: hiding(())(text), tries=1) < 5_000
