"""`luad check` tells all that can be known at once: a mistake hides only what depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HANDLERS = "def run(job): ...\n"
FIRST = """\
name: first
handler: luad.handlers.shell:run
schedule: {type: interval, every: 1h}
metadata: {command: no-such-program-here}
user: zed
alert: {to: [zed]}
env: {A: "$HOME/x"}
"""
AT_REST = {("LU315", 4), ("LU404", 5), ("LU404", 6), ("LU505", 7)}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for folder in ("jobs.d", "handlers", "users.d"):
        (tmp_path / folder).mkdir()
    (tmp_path / "handlers/app.py").write_text(HANDLERS)
    return tmp_path


def found(luad: Any, name: str = "first.yaml") -> set[tuple[str, int]]:
    return {
        (each["code"], each["location"]["row"])
        for each in luad("check", "--json").json
        if each["filename"].endswith(name)
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("timeout: 1 hour", "LU104"),
        ("timeout: 0s", "LU104"),
        ("retry: 3", "LU103"),
        ("tags: 3", "LU103"),
        ("enabld: true", "LU102"),
        ("limits: {memory: lots}", "LU104"),
    ],
)
@pytest.mark.slow
def test_a_mistake_hides_none_of_the_other_findings(
    luad: Any, shop: Path, line: str, code: str
) -> None:
    (shop / "jobs.d/first.yaml").write_text(FIRST)
    assert found(luad) == AT_REST
    (shop / "jobs.d/first.yaml").write_text(f"{FIRST}{line}\n")
    assert found(luad) == AT_REST | {(code, 8)}


@pytest.mark.slow
def test_a_name_that_is_taken_hides_none_of_the_other_findings(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/a.yaml").write_text(
        "name: first\nhandler: app:run\nschedule: {type: interval, every: 1h}\n"
    )
    (shop / "jobs.d/first.yaml").write_text(FIRST)
    assert {code for code, _ in found(luad)} == {"LU401", "LU315", "LU404", "LU505"}
    (shop / "jobs.d/a.yaml").unlink()
    (shop / "jobs.d/first.yaml").write_text(f"{FIRST}---\n{FIRST}timeout: 1 hour\n")
    assert {code for code, line in found(luad) if line > 8} == {
        *("LU401", "LU315", "LU404", "LU505", "LU104"),
    }


@pytest.mark.slow
def test_what_depends_on_a_mistake_is_not_told(luad: Any, shop: Path) -> None:
    lines = [
        "env: {PATH: 3}",
        "env: [A]",
        "metadata: 3",
        "handler: 3",
        "overlp: allow",
        "user: [a]",
    ]
    text = "name: first\nhandler: luad.handlers.shell:run\nschedule: {type: interval, every: 1h}\n"
    for line in lines:
        key = line.partition(":")[0]
        body = [each for each in text.splitlines() if not each.startswith(key)]
        more = ["max_running: 3"] if key == "overlp" else ["metadata: {command: no-such-one}"]
        more = [] if key == "metadata" else more
        (shop / "jobs.d/first.yaml").write_text("\n".join([*body, *more, line, ""]))
        codes = {code for code, _ in found(luad)}
        assert not codes & {"LU404", "LU504", "LU505", "LU301", "LU304"}, line
        assert ("LU315" in codes) == (line == "user: [a]"), line


@pytest.mark.slow
def test_the_findings_of_a_file_stand_together_and_in_order(luad: Any, shop: Path) -> None:
    for name in ("a", "b", "c"):
        text = f"{FIRST}timeout: 1 hour\n".replace("first", name)
        (shop / f"jobs.d/{name}.yaml").write_text(text)
    places = [(each["filename"], each["location"]["row"]) for each in luad("check", "--json").json]
    assert len(places) == 15
    assert places == sorted(places)


@pytest.mark.slow
def test_settings_are_told_at_once(luad: Any, shop: Path) -> None:
    text = "{0}\ntimezone: Europe/Londn\nlisten: nowhere\nalert: {{to: [ann, zed]}}\n"
    for line, code in (
        ("listen_: x", "LU102"),
        ("drain: 5x", "LU104"),
        ("log: {levle: 3}", "LU102"),
        ("retention: 3", "LU103"),
        ("tls: {key: 3}", "LU103"),
    ):
        (shop / "luad.yaml").write_text(text.format(line))
        (shop / "users.d/ann.yaml").write_text("id: ann\n")
        codes = found(luad, "luad.yaml")
        assert {("LU205", 2), ("LU104", 3), ("LU404", 4)} <= codes, line
        assert {each for each, row in codes if row == 1} <= {code, "LU006", "LU101"}, line


def test_a_user_that_luad_yaml_alerts_must_exist(luad: Any, shop: Path) -> None:
    (shop / "luad.yaml").write_text("alert:\n  to: [ann, zed]\n")
    (shop / "users.d/ann.yaml").write_text("id: ann\n")
    (problem,) = luad("check", "--json").json
    assert (problem["code"], problem["severity"]) == ("LU404", "warning")
    assert problem["location"] == {"row": 2, "column": 13}
    assert problem["message"] == "`alert` in luad.yaml names `zed`, a user that does not exist"
    (shop / "users.d/zed.yaml").write_text("id: zed\nemails: 3\n")
    assert {each["code"] for each in luad("check", "--json").json} == {"LU103"}


@pytest.mark.slow
def test_a_forgotten_colon_leaves_the_other_files_alone(luad: Any, shop: Path) -> None:
    text = "name: {0}\nhandler: {1}\nschedule: {{type: interval, every: 1h}}\n"
    (shop / "jobs.d/aaa.yaml").write_text(text.format("aaa", "app"))
    (shop / "jobs.d/hello.yaml").write_text(text.format("hello", "app:run"))
    (problem,) = luad("check", "--json").json
    assert problem["filename"] == "jobs.d/aaa.yaml"
    assert problem["help"] == "write  handler: app:run"


@pytest.mark.slow
def test_an_unknown_user_is_shown_in_its_line(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/first.yaml").write_text(FIRST)
    out = luad("check").out
    assert " --> jobs.d/first.yaml:5:7\n" in out
    assert "5 | user: zed\n  |       ^^^\n" in out
    assert " --> jobs.d/first.yaml:6:14\n" in out


@pytest.mark.slow
def test_check_names_what_it_has_mended(luad: Any, shop: Path) -> None:
    (shop / "jobs.d/a.yaml").write_text("name: a\nhandler: m:f\nschedule: */5 * * * *\n")
    said = luad("check", "--fix", "--no-import").err
    change = '`*/5 * * * *` -> `{type: cron, expression: "*/5 * * * *"}`'
    assert said.startswith(f"jobs.d/a.yaml:3:11: {change}\nfixed 1 file\n")


def test_the_paths_of_a_handler_are_seen_from_here(luad: Any, shop: Path) -> None:
    (shop / "handlers/json.py").write_text(HANDLERS)
    text = "name: {0}\nhandler: {1}:run\nschedule: {{type: interval, every: 1h}}\n"
    (shop / "jobs.d/a.yaml").write_text(text.format("a", "json"))
    (shop / "jobs.d/b.yaml").write_text(text.format("b", "zzzzzz"))
    problems = luad("check", "--json").json
    assert {each["code"] for each in problems} == {"LU304", "LU310", "LU311"}
    for each in problems:
        assert str(shop) not in each["message"] + each["help"]
