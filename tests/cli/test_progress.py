"""Long work shows progress on standard error, and never in what another program reads."""

from __future__ import annotations

import inspect
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from luad.cli.run_watch import RunWatcher
from luad.cli.session import Session
from luad.cli.terminal import progress as module
from luad.cli.terminal.output import Output
from luad.cli.terminal.progress import LiveLine


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


def test_a_time_limit_at_any_step_leaves_no_task_in_progress(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The limit raises an error wherever the program is; here before each line of it, one after the other.

    The last three lines are the removal: Python delivers a signal between calls, and it calls nothing before.
    """
    code = inspect.unwrap(module.progress).__code__
    last = max(line for _, _, line in code.co_lines() if line is not None)

    def fail_at(step: int) -> bool:
        left = step

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            if frame.f_code is not code:
                return None
            if event == "line" and frame.f_lineno <= last - 3:
                left -= 1
                if not left:
                    raise TimeoutError
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with module.progress(Output(is_json=False, is_quiet=False), "checking"):
                pass
        except TimeoutError:
            return True
        finally:
            sys.settrace(before)
        return False

    step = 1
    while fail_at(step):
        assert module._tasks == [], step
        for each in threading.enumerate():
            if each.name == "progress":
                each.join()  # it ends
        step += 1
    assert step > 10
    assert capsys.readouterr().out == ""


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


@pytest.mark.parametrize(("columns", "is_beside"), [(90, True), (60, False)])
def test_a_narrow_terminal_still_says_what_ctrl_c_does(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    is_beside: bool,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    watcher = RunWatcher(Session())
    watcher._started -= 2_000_000
    for _ in range(2):
        watcher.look({"job": "slow-job", "status": "running", "max_attempts": 1})
    shown = capsys.readouterr().err
    assert shown.count("Ctrl-C leaves the run alone") == 1
    assert ("1 of 1, 2 s   (Ctrl-C leaves the run alone)" in shown) is is_beside
    assert "1 of 1, 2 s" in shown


def test_a_line_that_is_cut_has_a_mark(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    LiveLine(Session().out).show("x" * 60)
    assert capsys.readouterr().err.removeprefix("\r\x1b[K") in {f"{'x' * 38}…", f"{'x' * 38}."}
