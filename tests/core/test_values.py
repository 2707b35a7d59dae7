"""Values of the core are quick to make, and ids are what they always were."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luad.core.events import SaveRun
from luad.core.ids import make_id
from luad.core.model import Run, RunState, Trigger
from luad.core.values import replace

RUN = Run("run_1", "backup", "job_1", "r1", Trigger.SCHEDULE, 1, 2, 3)


def test_a_value_is_made_without_a_check_for_each_field() -> None:
    for each in (Run, SaveRun):
        assert each.__setattr__ is object.__setattr__  # the type checker refuses changes
        assert not hasattr(RUN, "__dict__")


def test_a_copy_has_the_changes_and_nothing_else() -> None:
    assert replace(RUN, state=RunState.RUNNING, attempt=2) == dataclasses.replace(
        RUN, state=RunState.RUNNING, attempt=2
    )
    assert RUN.state is RunState.QUEUED
    assert replace(SaveRun(RUN), is_start=True) == SaveRun(RUN, is_start=True)
    assert {RUN, replace(RUN)} == {RUN}


def test_a_copy_cannot_have_a_field_that_there_is_not() -> None:
    with pytest.raises(AttributeError):
        replace(RUN, status="queued")  # type: ignore[call-arg]


@given(st.integers(-(2**50), 2**60), st.text())
def test_an_id_is_the_instant_and_a_hash_in_base_32(at: int, cause: str) -> None:
    prefix, text = make_id("run", at, cause).split("_")
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = 0
    for character in text:
        number = number * 32 + alphabet.index(character)
    assert (prefix, len(text)) == ("run", 26)
    assert number >> 80 == max(0, at) & (2**48 - 1)


def test_an_id_of_an_earlier_luad_is_the_same_today() -> None:
    assert make_id("run", 1_800_000_000_000, 1) == "run_01MCC5RM00DK9TF3HNP6JDRC1J"
