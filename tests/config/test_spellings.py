"""A secret is found in every form in which programs write texts, and nothing else is taken for one."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from support.cost import turns

from luad.config.secret_forms import spellings_of

SECRETS = [
    "hunter22",
    "p@ss w/ord+\"q'\\n&<x>",
    "héllo wörld✓😀!",
    "a\nb\tc-d",
    'x\\"y\\\\z',
    "ab/cd==",
    " \\\nfoo bar",
    "AKIA/+EXAMPLE~.-_",
    "пароль-密码",
]


def octal(text: str) -> str:
    return "".join(
        char
        if char.isascii() and char.isalnum()
        else "".join(f"\\{byte:03o}" for byte in char.encode())
        for char in text
    )


def entities(text: str) -> str:
    return "".join(
        char if char.isalnum() and char.isascii() else f"&#{ord(char)};" for char in text
    )


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda text: quote(text, safe=""),
    "url with slashes": quote,
    "form": quote_plus,
    "url twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json of unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text))[3:-3],
    "json in a url": lambda text: quote(json.dumps(text)[1:-1], safe=""),
    "repr": lambda text: repr(text)[1:-1],
    "repr of repr": lambda text: repr(repr(text)[1:-1])[1:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "unicode_escape": lambda text: text.encode("unicode_escape").decode(),
    "html": html.escape,
    "html twice": lambda text: html.escape(html.escape(text)),
    "entities": entities,
    "shell": lambda text: shlex.quote(text).removeprefix("'").removesuffix("'"),
    "octal": octal,
    "sql": lambda text: text.replace("'", "''"),
    "csv": lambda text: text.replace('"', '""'),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex with spaces": lambda text: text.encode().hex(" "),
    "hex with colons": lambda text: text.encode().hex(":").upper(),
    "each percent-encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "each as entity": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "each as hexadecimal entity": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "each as unicode escape": lambda text: "".join(
        f"\\u{text.encode('utf-16-be').hex()[place : place + 4]}"
        for place in range(0, 2 * len(text.encode("utf-16-be")), 4)
    ),
    "each as byte escape": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "each octal": lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", SECRETS)
def test_each_form_is_replaced_and_its_surroundings_stay(secret: str, form: str) -> None:
    spellings = spellings_of(secret)
    text = f"before <{FORMS[form](secret)}> after"
    assert spellings.may_stand_in(text)
    assert spellings.replace(text, lambda _: "***") == "before <***> after"


@pytest.mark.parametrize("user", ["", "a:", "ab:", "abc:", "a-long-name:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("secret", SECRETS)
def test_the_credentials_of_basic_authentication_are_a_form(
    secret: str, encode: Callable[[bytes], bytes], user: str
) -> None:
    said = encode(f"{user}{secret}".encode()).decode()
    hidden = spellings_of(secret).replace(f"Basic {said} sent", lambda _: "***")
    assert hidden.startswith("Basic ")
    assert hidden.endswith("*** sent")
    kept = hidden.removeprefix("Basic ").removesuffix("*** sent")
    assert len(kept) <= len(user) * 4 / 3 + 1


@pytest.mark.parametrize("text", ["hunter2", "hunter 22", "HUNTER22", "aHVudGVy", "%68unter22x"])
def test_what_is_another_text_stays(text: str) -> None:
    assert spellings_of("hunter22").replace(text, lambda _: "***") == text


def test_finding_takes_time_linear_in_the_text() -> None:
    """Ten times the text may cost some twenty times as much, and not a hundred times."""
    spellings = spellings_of("x\\\"y\\\\z!!'")

    def cost(size: int) -> float:
        texts = [
            "\\" * size,
            "x\\" * size,
            "%25" * size,
            "x" + "%5c" * size,
            "&amp;" * size,
            "a" * 9 * size,
        ]
        return turns(lambda: [spellings.replace(text, lambda _: "*") for text in texts])

    assert cost(40_000) < 40 * max(cost(4_000), 0.5)


@pytest.mark.parametrize("shift", range(0, 60, 7))
@pytest.mark.parametrize("end", ["\n", "\r\n", "\\n"])
def test_base64_of_many_lines_is_a_form(shift: int, end: str) -> None:
    secret = "a long text of hunter22, with many words in it"  # noqa: S105 - a text of a test
    said = base64.encodebytes(b"." * shift + secret.encode()).decode().replace("\n", end)
    spellings = spellings_of(secret)
    assert spellings.may_stand_in(said)
    hidden = spellings.replace(said, lambda _: "***")
    kept = "".join(hidden.replace(end, "").split("***"))
    assert len(kept) <= shift * 4 / 3 + 1
