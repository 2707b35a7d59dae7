"""Output within bounds: whatever comes in pieces is the same lines, and nothing is miscounted."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from luad.runner.capture import LineSplitter, Output

LIMIT, LINE_LIMIT = 200, 40

chunks = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.binary(min_size=1, max_size=60)
        | st.sampled_from([b"\n", b"\n\n", b"abc\n", b"x" * 100, b"\r\n", "é".encode()]),
    ),
    max_size=40,
)


def lines_of(output: Output) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    head = output.take()
    return head, output.finish(99)


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300)))
def test_cutting_the_input_elsewhere_changes_no_line(data: bytes, cuts: list[int]) -> None:
    whole, pieces = LineSplitter(LINE_LIMIT), LineSplitter(LINE_LIMIT)
    expected = whole.feed(data) + whole.rest()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    seen = [line for a, b in itertools.pairwise(edges) for line in pieces.feed(data[a:b])]
    assert seen + pieces.rest() == expected
    assert all(len(line) <= LINE_LIMIT for line in expected)


@given(text=st.text(max_size=200))
def test_no_character_is_torn_apart(text: str) -> None:
    text = text.replace("\n", "").encode("utf-8", "replace").decode()
    splitter = LineSplitter(LINE_LIMIT)
    lines = splitter.feed(text.encode()) + splitter.rest()
    assert "".join(line.decode() for line in lines) == text


@settings(max_examples=200)
@given(chunks=chunks)
def test_what_is_kept_is_bounded_and_the_rest_is_counted(chunks: list[tuple[str, bytes]]) -> None:
    output = Output(LIMIT, LINE_LIMIT)
    for at, (stream, data) in enumerate(chunks):
        output.feed(stream, data, at)
    head, rest = lines_of(output)
    fed = sum(len(data) for _, data in chunks)
    kept = sum(len(line["message"].encode()) for line in head + rest if line["stream"] != "system")
    assert len(head) <= LIMIT // 16 + 1
    # Once more for the tail; a replacement character is three bytes instead of one.
    assert kept <= 3 * (2 * LIMIT + 4 * LINE_LIMIT)
    assert output.dropped_bytes <= fed
    if fed <= LIMIT // 16:
        assert output.dropped_bytes == 0
    if output.dropped_bytes:
        assert [line["stream"] for line in head + rest].count("system") == 1


def test_head_and_tail_of_plain_lines_are_exact() -> None:
    output = Output(LIMIT, LINE_LIMIT)
    for number in range(100):
        output.feed("stdout", b"%018d\n" % number, number)
    head, rest = lines_of(output)
    gap, *tail = rest
    # 19 bytes a line: the head ends with the line that reaches 200 bytes.
    assert [int(line["message"]) for line in head] == list(range(11))
    assert gap["stream"] == "system"
    assert gap["message"] == "1,491 bytes of output were left out here"
    assert [int(line["message"]) for line in tail] == list(range(89, 100))
    assert tail[0]["message"] == "000000089", "the tail begins where 200 bytes are left"


def test_a_partial_line_is_not_lost_when_the_head_is_full() -> None:
    output = Output(40, LINE_LIMIT)
    output.feed("stdout", b"beginning of a line, ", 1)
    output.feed("stderr", b"x" * 39 + b"\n", 2)
    output.feed("stdout", b"its end\n", 3)
    head, rest = lines_of(output)
    assert [line["message"] for line in head] == ["x" * 39]
    assert [line["message"] for line in rest] == ["beginning of a line, its end"]


def test_records_share_the_bounds() -> None:
    output = Output(LIMIT, LINE_LIMIT)
    for number in range(50):
        record = {"ts": number, "stream": "log", "message": str(number)}
        output.feed_record(record, 50)
    head, rest = lines_of(output)
    assert [line["message"] for line in head] == ["0", "1", "2", "3"]
    assert [line["message"] for line in rest[1:]] == ["46", "47", "48", "49"]
    assert output.dropped_bytes == 42 * 50


def test_nothing_is_kept_where_nothing_may_be() -> None:
    output = Output(0, LINE_LIMIT)
    output.feed("stdout", b"abc\n", 1)
    output.feed_record({"ts": 2, "level": "info", "logger": "", "message": "def"}, 50)
    head, tail = lines_of(output)
    assert head == []
    assert [line["message"] for line in tail] == ["54 bytes of output were left out here"]
