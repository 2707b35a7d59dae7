"""Every broken or treacherous users file gets its message, and none shows a secret.

`tests/corpus/users/expected.txt` holds the messages. After a change that is meant, write it anew and
read the difference::

    python tests/config/test_users_corpus.py && git diff tests/corpus/users
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from luad.config.problems import CODES, render_concise, render_full, to_github, to_json
from luad.config.users.channels import apprise_services
from luad.config.users.user_file import load_users

CORPUS = Path(__file__).parent.parent / "corpus" / "users"
EXPECTED = CORPUS / "expected.txt"
FILES = sorted(CORPUS.glob("*.yaml"))
SECRETS = re.compile(r"hunter22|s3cr3t|hijklmnop|B01A2B3C4D5E|abcdef")


def messages_of(path: Path) -> str:
    parsed = load_users(path.name, path.read_bytes(), services=apprise_services)
    users = "1 user" if len(parsed.users) == 1 else f"{len(parsed.users)} users"
    return f"== {path.name}: {users}\n{render_concise(parsed.problems)}"


def expected_messages() -> dict[str, str]:
    blocks = re.split(r"(?m)^(?=== )", EXPECTED.read_text(encoding="utf-8"))
    return {block.split(":")[0].removeprefix("== "): block for block in blocks if block}


def test_the_corpus_and_its_messages_belong_together() -> None:
    assert list(expected_messages()) == [path.name for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_gets_its_messages(path: Path) -> None:
    assert messages_of(path) == expected_messages()[path.name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_problem_can_be_shown_and_shows_no_secret(path: Path) -> None:
    for problem in load_users(path.name, path.read_bytes(), services=apprise_services).problems:
        text = render_full([problem]) + to_github(problem) + json.dumps(to_json(problem))
        assert all(char.isprintable() or char == "\n" for char in text)
        assert not SECRETS.search(text)
        assert problem.code in CODES
        assert problem.line <= 12, "a place outside of the file"


def test_a_file_is_judged_alike_without_apprise_but_for_what_apprise_says() -> None:
    for path in FILES:
        alone = load_users(path.name, path.read_bytes()).problems
        asked = load_users(path.name, path.read_bytes(), services=apprise_services).problems
        assert set(alone) - set(asked) == {
            each for each in alone if each.code == "LU605" and path.name.startswith("23")
        }


def write_expected() -> None:
    EXPECTED.write_text("".join(map(messages_of, FILES)), encoding="utf-8")


if __name__ == "__main__":
    write_expected()
