"""The reader: YAML 1.2 where 1.1 would bite, places of everything, and never an exception."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luad.config.jobs.job_file import load_file
from luad.config.settings.daemon_settings import Settings
from luad.config.yaml.marks import read_marks
from luad.config.yaml.reader import Document, Limits, parse_yaml, resolve_plain
from luad.errors import Severity

LIMITS = Limits()


def read(text: str | bytes, limits: Limits = LIMITS) -> list[Document]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(parse_yaml(data, "x.yaml", limits))


def codes(documents: list[Document]) -> list[str]:
    return [problem.code for document in documents for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-7", -7),
        ("+5", 5),
        ("1.5", 1.5),
        ("1.10", 1.1),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("9223372036854775807", 2**63 - 1),
        ("on", "on"),
        ("No", "No"),
        ("y", "y"),
        ("010", "010"),
        ("00", "00"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("9:30", "9:30"),
        ("12:30:00", "12:30:00"),
        (".inf", ".inf"),
        ("-.INF", "-.INF"),
        (".nan", ".nan"),
        ("2026-12-25", "2026-12-25"),
        ("2026-12-25T09:00:00Z", "2026-12-25T09:00:00Z"),
        ("-", "-"),
        ("1.2.3", "1.2.3"),
        ("١", "١"),
        ("nULL", "nULL"),
    ],
)
def test_a_plain_scalar_means_the_same_in_every_yaml_or_is_text(text: str, value: object) -> None:
    found = resolve_plain(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["9223372036854775808", "-" + "9" * 5_000, "1e999", "9" * 401 + ".0"]
)
def test_a_number_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="9"):
        resolve_plain(text)


def test_each_document_of_a_stream_is_read_and_empty_ones_are_passed_over() -> None:
    documents = read("a: 1\n---\n---\n# nothing\n---\nb: 2\n...\n---\nc: 3\n")
    assert [document.value for document in documents] == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert [document.line for document in documents] == [1, 6, 9]


def test_after_an_unquoted_expression_the_rest_is_still_read() -> None:
    documents = read("a: 1\n---\nwhen: */5 * * * *\nb: 2\n---\nc: * * * * *\n---\nd: 4\n")
    assert [document.value for document in documents] == [
        {"a": 1},
        {"when": "*/5 * * * *", "b": 2},
        {"c": "* * * * *"},
        {"d": 4},
    ]
    assert codes(documents) == ["LU004", "LU004"]
    assert [document.problems[0].line for document in documents if document.problems] == [3, 6]


def test_problems_before_a_limit_are_kept() -> None:
    documents = read("a: 1\na: 2\nb: [[[[1]]]]\n", Limits(max_depth=4))
    assert codes(documents) == ["LU002", "LU007"]


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(max_depth=2), "a: {b: {c: 1}}"),
        (Limits(max_nodes=5), "a: [1, 2, 3]"),
        (Limits(max_scalar=3), "a: four"),
        (Limits(max_bytes=3), "a: 1"),
        (Limits(max_empty=2), "---\n---\n---\n---\na: 1"),
        (Limits(max_problems=2), "a: 1\na: 1\na: 1\na: 1\n"),
    ],
)
def test_each_limit_ends_the_reading(limits: Limits, text: str) -> None:
    assert codes(read(text, limits))[-1] == "LU007"


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(max_depth=3), "a: {b: {c: 1}}"),
        (Limits(max_nodes=6), "a: [1, 2, 3]"),
        (Limits(max_scalar=4), "a: four"),
        (Limits(max_bytes=4), "a: 1"),
    ],
)
def test_what_reaches_a_limit_exactly_is_read(limits: Limits, text: str) -> None:
    assert codes(read(text, limits)) == []


def test_marks_name_the_place_of_every_key_and_value() -> None:
    (document,) = read('name: a\nschedule:\n  type: cron\n  expression: "x y"\ntags: [one, two]\n')
    marks = read_marks(document)
    assert (marks.key(("name",)).line, marks.key(("name",)).column) == (1, 1)
    expression = marks.value(("schedule", "expression"))
    assert (expression.line, expression.column, expression.end_column) == (4, 15, 20)
    assert expression.style == '"'
    assert (marks.value(("tags", 1)).line, marks.value(("tags", 1)).column) == (5, 13)
    assert marks.value(("schedule", "no", "such")) == marks.value(("schedule",))


def test_marks_of_a_later_document_count_from_the_start_of_the_file() -> None:
    documents = read("a: 1\n---\n# comment\nb:\n  c: 2\n--- {d: 3}\n")
    assert read_marks(documents[1]).value(("b", "c")).line == 5
    assert read_marks(documents[2]).key(("d",)).line == 6
    assert read_marks(documents[2]).key(("d",)).column == 6


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]))
    | st.text("\n\t\r\\\"' "),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<:#*&! -'", min_size=1), inner)
    ),
    max_leaves=12,
)


@given(json_values.filter(lambda value: value is not None))
@pytest.mark.slow
def test_json_reads_as_the_value_it_stands_for(value: object) -> None:
    (document,) = read(json.dumps({"root": value}, ensure_ascii=False))
    assert document.problems == []
    assert document.value == {"root": value}


yaml_alphabet = st.text("ab: \n-[]{},#&*!|>'\"%@`?~\t<.0159_eEx/\\=", max_size=60)


@given(yaml_alphabet)
@example("*/5 * * * *")
@example("a: *\n")
@example("- ? :\n")
@example("a: &x\n  - *x\n")
@example('"\\ud800"')
def test_no_text_raises_and_what_comes_out_is_json(text: str) -> None:
    for document in read(text):
        json.dumps(document.value, allow_nan=False)
        read_marks(document)


@given(st.binary(max_size=80))
@example(b"\xff\xfea\x00")
@example(b"a: \xed\xa0\x80")
@example(b"\xef\xbb\xbf")
def test_no_bytes_raise(data: bytes) -> None:
    for document in read(data):
        assert document.problems or document.value is not None or not document.is_empty


def test_a_float_of_many_digits_is_finite() -> None:
    (document,) = read("a: 1e308\n")
    assert math.isfinite(document.value["a"])


DIRECTED = b'---\nname: job\nhandler: m:f\nschedule: {type: cron, expression: "0 9 * * *"}\n'


@pytest.mark.parametrize(
    ("directive", "column", "message"),
    [
        ("%YAML", 1, "the `%YAML` line does not have a version"),
        ("%YAML 1", 7, "`1` is not a version of YAML"),
        ("%YAML 1.", 7, "`1.` is not a version of YAML"),
        ("%YAML  1.2.3", 8, "`1.2.3` is not a version of YAML"),
        ("%YAML 1.2 junk", 7, "`1.2 junk` is not a version of YAML"),
        ("%YAML 1.3", 7, "the file asks for YAML 1.3, and luad reads YAML 1.2"),
        ("%YAML 2.0 # new", 7, "the file asks for YAML 2.0, and luad reads YAML 1.2"),
        ("%", 1, "`%` is not a directive of YAML"),
        ("%yaml 1.2", 1, "`%yaml` is not a directive of YAML"),
        ("%YAML1.2", 1, "`%YAML1.2` is not a directive of YAML"),
        ("%TAG", 1, "tags are not used in luad's files"),
        ("%TAG ! x:", 1, "tags are not used in luad's files"),
    ],
)
def test_a_directive_is_judged_at_its_place(directive: str, column: int, message: str) -> None:
    for lead, line in (("", 1), ("# a comment\n\n", 3), ("name: a\n...\n", 3)):
        text = f"{lead}{directive}\n".encode() + DIRECTED
        parsed = load_file("x.yaml", text, settings=Settings())
        assert not parsed.jobs
        problem = parsed.problems[-1]
        assert (problem.line, problem.column, problem.message) == (line, column, message)
        assert problem.help


@pytest.mark.parametrize("directive", ["%YAML 1.2", "%YAML\t1.2", "%YAML 1.2 # so be it"])
def test_the_version_that_luad_reads_needs_no_word(directive: str) -> None:
    parsed = load_file("x.yaml", directive.encode() + b"\n" + DIRECTED, settings=Settings())
    assert (len(parsed.jobs), parsed.problems) == (1, ())


def test_yaml_1_1_loads_with_a_warning_at_its_place() -> None:
    parsed = load_file("x.yaml", b"# old\n%YAML 1.1\n" + DIRECTED, settings=Settings())
    assert len(parsed.jobs) == 1
    (problem,) = parsed.problems
    assert (problem.line, problem.column, problem.severity) == (2, 7, Severity.WARNING)


def test_a_directive_without_the_line_that_ends_it_is_told() -> None:
    (problem,) = load_file("x.yaml", b"%YAML 1.2\nname: a\n", settings=Settings()).problems
    assert problem.message == "a line `---` is missing"
