"""Public names stay: what users wrote down yesterday works today."""

from __future__ import annotations

from support.public_names import GOLDEN, public_names


def test_no_public_name_is_lost() -> None:
    expected = set(GOLDEN.read_text().splitlines())
    assert len(expected) > 1_000
    lost = expected - set(public_names())
    assert not lost, "keep the old form, with a warning and a row in the deprecation page"


def test_the_list_is_up_to_date() -> None:
    added = set(public_names()) - set(GOLDEN.read_text().splitlines())
    assert not added, "run tests/support/public_names.py; from then on these names are public"
