"""How problems look: to people, to editors, to CI."""

from __future__ import annotations

import json

from luad.config.jobs.job_file import load_file
from luad.config.problems import (
    CODES,
    render_concise,
    render_full,
    render_github,
    render_json,
    render_sarif,
    summary,
    with_excerpts,
)
from luad.config.settings.daemon_settings import Settings
from luad.errors import Problem

FILE = """\
name: sync
handler: myapp.jobs:sync
timout: 600
schedule:
  type: cron
  expression: */15 * * * *
  timezone: Europe/London
"""


def problems_of(text: str, path: str = "jobs.d/sync.yaml") -> tuple[Problem, ...]:
    return load_file(path, text.encode(), settings=Settings()).problems


def test_the_full_form_shows_the_line_the_caret_and_the_help() -> None:
    assert (
        render_full(problems_of(FILE))
        == """\
LU102 unknown key `timout`
 --> jobs.d/sync.yaml:3:1
  |
2 | handler: myapp.jobs:sync
3 | timout: 600
  | ^^^^^^
4 | schedule:
  |
  = help: did you mean `timeout`?
  = more: luad help LU102; luad check --fix corrects it

LU004 cron expression must be quoted
 --> jobs.d/sync.yaml:6:15
  |
5 |   type: cron
6 |   expression: */15 * * * *
  |               ^ YAML reads `*` as an alias
7 |   timezone: Europe/London
  |
  = help: write  expression: "*/15 * * * *"
  = more: luad help LU004; luad check --fix corrects it
"""
    )


def test_the_concise_form_is_a_line_each() -> None:
    assert render_concise(problems_of(FILE)) == (
        "jobs.d/sync.yaml:3:1: LU102 unknown key `timout` (did you mean `timeout`?) [fix]\n"
        "jobs.d/sync.yaml:6:15: LU004 cron expression must be quoted"
        ' (write  expression: "*/15 * * * *") [fix]\n'
    )


def test_the_summary_counts() -> None:
    assert summary(problems_of(FILE)) == "2 errors, 0 warnings in 1 file.  2 fixable with --fix."


def test_the_json_form_has_ruffs_keys() -> None:
    first, second = json.loads(render_json(problems_of(FILE)))
    assert first == {
        "code": "LU102",
        "name": "unknown-key",
        "severity": "error",
        "filename": "jobs.d/sync.yaml",
        "location": {"row": 3, "column": 1},
        "end_location": {"row": 3, "column": 7},
        "message": "unknown key `timout`",
        "help": "did you mean `timeout`?",
        "job": "sync",
        "pointer": "/timout",
        "fix": {
            "applicability": "safe",
            "edits": [
                {
                    "content": "timeout",
                    "location": {"row": 3, "column": 1},
                    "end_location": {"row": 3, "column": 7},
                }
            ],
        },
        "fixable": True,
        "url": "https://github.com/luad/luad/blob/main/docs/reference/problems.md#lu102",
    }
    assert second["fix"]["edits"][0]["content"] == '"*/15 * * * *"'


def test_the_github_form_escapes_what_would_end_it() -> None:
    problem = Problem("a,b:c.yaml", 2, 3, "LU001", "50 %\nwrong", end_line=2, end_column=5)
    assert render_github([problem]) == (
        "::error file=a%2Cb%3Ac.yaml,line=2,col=3,title=LU001,endColumn=4::50 %25%0Awrong%0Acorrect it by hand; https://github.com/luad/luad/blob/main/docs/reference/problems.md#lu001\n"
    )


def test_the_sarif_form_has_a_rule_for_each_code() -> None:
    (run,) = json.loads(render_sarif(problems_of(FILE), version="1"))["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["LU004", "LU102"]
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 3, "startColumn": 1, "endLine": 3, "endColumn": 7}


def test_the_caret_stands_under_wide_characters() -> None:
    text = FILE.replace("timout: 600\n", 'description: "日本", x\n')
    shown = render_full(problems_of(text))
    line, caret = shown.splitlines()[4:6]
    assert line == '3 | description: "日本", x'
    assert caret.index("^") == len("3 | description: ") + len('"日本"') + 2  # two columns each


def test_a_very_long_line_is_cut_around_the_place() -> None:
    text = "name: " + "x" * 10_000 + ": y\n"
    shown = render_full(problems_of(text))
    assert max(map(len, shown.splitlines())) < 220
    caret = next(line for line in shown.splitlines() if "^" in line)
    above = shown.splitlines()[shown.splitlines().index(caret) - 1]
    assert above[caret.index("^")] == ":"


def test_nothing_of_a_file_reaches_the_terminal_as_a_control_character() -> None:
    shown = render_full(problems_of("name: a\nhandler: \x1b[31mred\nx: 1\n"))
    assert "\x1b" not in shown


def test_a_problem_of_the_whole_file_has_no_excerpt() -> None:
    problem = Problem("a.yaml", 0, 0, "LU007", "too big")
    assert with_excerpts([problem], b"x") == (problem,)
    assert (
        render_full([problem])
        == "LU007 too big\n --> a.yaml\n  = more: luad help LU007; correct it by hand\n"
    )


def test_every_code_that_is_used_has_a_name() -> None:
    assert all(code.startswith("LU") and name for code, name in CODES.items())
    assert len(set(CODES.values())) == len(CODES)
