"""Counts the steps on the loop: calls of functions, Python's and C's, the same on a busy machine."""

from __future__ import annotations

import sys
from asyncio.events import Handle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

RUN = Handle._run


class LoopSteps:
    """The steps in all turns of the loop, and those in the longest turn."""

    def __init__(self) -> None:
        self.count = self.most = self._turn = 0
        self.what = ""  # the longest turn

    def note(self, _frame: Any, event: str, _arg: Any) -> None:
        if event in {"call", "c_call"}:
            self.count += 1
            self._turn += 1

    def run(self, handle: Any) -> None:
        self._turn = 0
        sys.setprofile(self.note)
        try:
            RUN(handle)
        finally:
            sys.setprofile(None)
        if self._turn > self.most:
            self.most, self.what = self._turn, repr(handle)[:300]


@contextmanager
def counted_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopSteps]:
    """Count the steps of each turn that begins while this is open."""
    found = LoopSteps()

    def run(handle: Any) -> None:
        found.run(handle)

    with monkeypatch.context() as patch:
        patch.setattr(Handle, "_run", run)
        yield found
