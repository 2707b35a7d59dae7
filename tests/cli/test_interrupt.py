"""Ctrl-C while a command waits for a run, at moments when Python drops exceptions."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from luad.cli.run_watch import RunWatcher, explained_interrupt, wait_for
from luad.cli.session import Session

RUN = {"id": "run_1", "job": "a", "status": "running"}


class Finalized:
    """Raises the signal in a finalizer: Python reports the KeyboardInterrupt, and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Client:
    """Answers that the run goes on; *moment* is the question during which Ctrl-C comes."""

    def __init__(self, moment: int, *, is_dropped: bool) -> None:
        self.asked = 0
        self.moment = moment
        self.is_dropped = is_dropped

    def get(self, path: str) -> dict[str, Any]:
        del path
        self.asked += 1
        assert self.asked <= self.moment + 1, "the command goes on waiting"
        if self.asked == self.moment:
            if self.is_dropped:
                Finalized()
            else:
                signal.raise_signal(signal.SIGINT)
        return RUN


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_dropped", [False, True])
@pytest.mark.parametrize("moment", [1, 2, 5])
def test_ctrl_c_ends_the_wait_at_any_moment(
    capsys: pytest.CaptureFixture[str], moment: int, is_dropped: bool
) -> None:
    session = Session()
    client: Any = Client(moment, is_dropped=is_dropped)
    with pytest.raises(KeyboardInterrupt), explained_interrupt(session, [RUN]):
        wait_for(client, RUN, RunWatcher(session))
    assert "a goes on: luad logs -f run_1; luad cancel run_1 stops it" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_command_in_the_background_goes_on_ignoring_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with explained_interrupt(Session(), [RUN]):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
