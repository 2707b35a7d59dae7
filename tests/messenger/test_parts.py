"""The parts of a message, as they come over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from luad.config.users.message_bodies import MAX_PARTS, MAX_TEXT, parse_parts, plain_text
from luad.errors import ValidationError


def test_a_text_is_a_message() -> None:
    assert parse_parts("hello") == ({"type": "text", "text": "hello"},)
    assert parse_parts({"text": "hello"}) == ({"type": "text", "text": "hello"},)


def test_dictionaries_as_lua_has_them_are_understood() -> None:
    found = parse_parts(
        [
            {"type": "text", "text": "hi"},
            {"type": "image", "imageUrl": "https://example.com/a.png", "altText": "chart"},
        ]
    )
    assert found == (
        {"type": "text", "text": "hi"},
        {"type": "image", "url": "https://example.com/a.png", "alt": "chart"},
    )


def test_files_are_paths_or_addresses() -> None:
    parts = [
        {"type": "file", "path": "/tmp/a.pdf"},
        {"type": "file", "url": "HTTPS://example.com/b.pdf", "name": "b"},
    ]
    assert parse_parts(parts) == tuple(parts)


@pytest.mark.parametrize(
    ("value", "pointer", "says"),
    [
        ([], "", "the message is empty"),
        (["x"] * (MAX_PARTS + 1), "", "more than"),
        ([7], "/0", "neither a text nor an object"),
        (None, "/0", "neither"),
        ([""], "/0/text", "needs `text`"),
        ([{"type": "video"}], "/0/type", "not a type of part"),
        ([{"type": ["text"]}], "/0/type", "not a type of part"),
        ([{"type": "text", "text": 7}], "/0/text", "must be a text"),
        (["x" * (MAX_TEXT + 1)], "/0/text", "longer than"),
        ([{"type": "text", "text": "x", "colour": "red"}], "/0/colour", "unknown key"),
        ([{"type": "text", "text": "x", "format": "html"}], "/0/format", "markdown"),
        ([{"type": "image"}], "/0/url", "needs `url`"),
        ([{"type": "image", "url": "file:///etc/passwd"}], "/0/url", "does not begin with http"),
        ([{"type": "image", "url": "/tmp/a.png"}], "/0/url", "does not begin with http"),
        ([{"type": "file"}], "/0", "either a `path` or a `url`"),
        ([{"type": "file", "path": "/a", "url": "https://b"}], "/0", "either"),
        ([{"type": "file", "path": "report.pdf"}], "/0/path", "not absolute"),
        ([{"type": "file", "path": ""}], "/0/path", "not absolute"),
        ([{"type": "file", "url": "memory://x"}], "/0/url", "does not begin with http"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(value: Any, pointer: str, says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        parse_parts(value)
    places = {each["pointer"]: each["detail"] for each in raised.value.errors}
    assert says in places[f"#/messages{pointer}"]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as raised:
        parse_parts([7, "fine", {"type": "image"}])
    assert [each["pointer"] for each in raised.value.errors] == [
        "#/messages/0",
        "#/messages/2/url",
    ]


def test_a_message_as_one_text() -> None:
    parts = parse_parts(
        [
            "This week:",
            {"type": "image", "url": "https://example.com/a.png", "alt": "sales"},
            {"type": "file", "path": "/tmp/report.pdf"},
        ]
    )
    assert plain_text(parts) == (
        "This week:\nsales: https://example.com/a.png\nfile: /tmp/report.pdf"
    )
