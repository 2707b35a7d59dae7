"""Which handlers a job that is made at run time may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from luad.config.allowed import DEFAULT_PATTERNS, is_allowed


@pytest.fixture
def handlers(tmp_path: Path) -> Path:
    (tmp_path / "crm.py").write_text("")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "inner.py").write_text("")
    (tmp_path / "luad").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ("crm:follow_up", True),
        ("pack.inner:f", True),
        ("luad.handlers.message:send", True),
        ("luad.handlers.http:check", True),
        ("luad.handlers.report:daily", True),
        ("luad.handlers.shell:run", False),
        ("luad.handlers.files:clean", False),
        ("luad.handlers.httpx:f", False),
        ("luad.other:f", False),  # a folder `luad` among the handlers is not luad
        ("os:system", False),
        ("subprocess:run", False),
        ("../crm:f", False),
        ("crm/../../x:f", False),
        ("crm", False),  # an entry point of that name is another thing
        ("", False),
    ],
)
def test_what_is_allowed_by_default(handlers: Path, handler: str, expected: bool) -> None:
    assert is_allowed(handler, DEFAULT_PATTERNS, handlers) is expected


def test_the_settings_may_name_others(handlers: Path) -> None:
    assert is_allowed("luad.handlers.shell:run", ("luad.handlers.shell:run",), handlers)
    assert is_allowed("nightly", ("nightly",), handlers)
    assert not is_allowed("crm:follow_up", ("billing.*",), handlers)
