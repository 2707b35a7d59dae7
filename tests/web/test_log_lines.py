"""The lines of a log in a page: colours, numbers, and text that attacks."""

from __future__ import annotations

import json

import pytest

from luad.web.ansi import coloured
from luad.web.log_lines import LINES, is_pattern, lines_of
from luad.web.times import Times, parse

TIMES = Times(parse("2026-11-24T09:34:18Z"), "Europe/London")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("\x1b[32mok\x1b[0m done", '<span class="a-green">ok</span> done'),
        ("\x1b[1;31mbad\x1b[39m bold", '<span class="a-bold a-red">bad</span><span class="a-bold"> bold</span>'),
        ("\x1b[mfirst", "first"),
        ("\x1b[38;5;31mmany\x1b[96mcyan", 'many<span class="a-cyan">cyan</span>'),
        ("\x1b[32m<b>\x1b]0;title\x07", '<span class="a-green">&lt;b&gt;␛]0;title␇</span>'),
        ("\x1b[2J\x1b[1A\u202e", "␛[2J␛[1A[U+202E]"),
    ],
)  # fmt: skip
def test_colours_are_classes_and_other_escapes_are_shown(text: str, html: str) -> None:
    assert coloured(text) == html


def test_a_line_full_of_colours_stays_small() -> None:
    found = coloured("\x1b[31ma\x1b[32mb" * 10_000)
    assert found.count("<span") <= 400


def test_lines_keep_the_numbers_of_the_log_and_lead_to_those_before() -> None:
    rows = [{"line_number": 700 + n, "message": f"m{n}", "level": "info"} for n in range(LINES)]
    rows[3]["level"] = "error"
    page = lines_of("\n".join(map(json.dumps, rows)), TIMES)
    assert (page.before, page.first_error, page.last) == (700, 703, 699 + LINES)
    short = lines_of(json.dumps({"line_number": 1, "message": "only"}), TIMES)
    assert (short.before, short.first_error, short.last) == (None, None, 1)
    assert lines_of("", TIMES).last == 0


def test_a_search_between_slashes_is_a_pattern() -> None:
    assert is_pattern("/a|b/")
    assert not is_pattern("/srv/data")
    assert not is_pattern("//")
