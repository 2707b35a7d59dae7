"""Long work shows progress on standard error, and never in what another program reads."""

from __future__ import annotations

import threading

import pytest

from luad.cli.terminal import progress as module
from luad.cli.terminal.output import Output


@pytest.mark.parametrize(("is_json", "is_quiet"), [(True, False), (False, True)])
def test_nothing_is_shown_with_json_or_quiet(
    is_json: bool,
    is_quiet: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    with module.progress(Output(is_json=is_json, is_quiet=is_quiet), "checking"):
        assert not any(each.name == "progress" for each in threading.enumerate())
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_are_lines_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    called = threading.Semaphore(0)

    def text() -> str:
        called.release()
        return "checking 3 files"

    with module.progress(Output(is_json=False, is_quiet=False), text):
        for _ in range(3):
            called.acquire()
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.splitlines()[:2] == ["checking 3 files ... 0 s"] * 2
