"""The simulator and its checker are as good as what they catch: engines that are broken on purpose."""

from __future__ import annotations

from functools import lru_cache

import pytest
from simulation.campaign import judge
from simulation.mutants import (
    CRASH,
    PAGE,
    Mutant,
    all_mutants,
    caught,
    hunt,
    kind_of,
    rewritten,
    within,
)

from luad.core import policy, timetable
from luad.core.cron.search import compile_cron, load_zone, next_after

HARMLESS = Mutant(
    "harmless",
    "nobody",
    "The same, said the other way round.",
    ("I7", CRASH),
    "luad.core.policy:is_too_late",
    (("late_ms > _window_ms(job)", "_window_ms(job) < late_ms"),),
)
ENDLESS = Mutant(
    "endless",
    "APScheduler 980, kiorky/croniter 1.3.7",
    "The search for an occurrence never ends.",
    (CRASH,),
    "luad.core.policy:is_on_time",
    (("return late_ms <=", "while True:\n        pass\n    return late_ms <="),),
)


@lru_cache
def clean(seed: int, *, is_cluster: bool) -> list[str]:
    return judge(seed, is_cluster=is_cluster)


@pytest.mark.parametrize("name", all_mutants())
def test_the_seed_that_is_written_down_catches_the_mutant_and_is_clean_without_it(
    name: str,
) -> None:
    mutant, catch = all_mutants()[name], caught().get(name)
    assert catch is not None, f"PYTHONPATH=tests python -m simulation.mutants --hunt {name}"
    found = mutant.judge(catch.seed)
    assert {kind_of(each) for each in found} & {*mutant.breaks}, (
        f"seed {catch.seed} found {found[:3]}; when the simulator has become another one: "
        f"PYTHONPATH=tests python -m simulation.mutants --hunt {name}"
    )
    assert clean(catch.seed, is_cluster=mutant.is_cluster) == []


def test_the_document_lists_the_mutants_and_their_seeds() -> None:
    assert {*caught()} == {*all_mutants()}
    assert PAGE.read_text() == rewritten(PAGE.read_text()), "run make mutants"


def test_the_mutants_are_many_and_each_is_another_one() -> None:
    mutants = all_mutants().values()
    assert len(mutants) >= 25
    assert len({(each.where, each.edits) for each in mutants}) == len(mutants)
    promises = {kind_of(each.violation) for each in caught().values()}
    assert len(promises - {CRASH}) >= 10, "most promises catch something"


def test_what_is_not_broken_is_not_caught() -> None:
    assert hunt(HARMLESS, range(3)) is None


def test_a_history_that_never_ends_is_cut_off_and_counts_as_a_crash() -> None:
    with within(1.0):
        found = ENDLESS.judge(0)
    assert [kind_of(each) for each in found] == [CRASH]
    assert "does not come to its end" in found[0]


def test_a_mutant_is_seen_wherever_its_function_was_imported_to_and_is_undone() -> None:
    real = timetable.fire_at.__code__
    with all_mutants()["early"].applied():
        assert timetable.fire_at.__code__ is policy.fire_at.__code__
        assert policy.fire_at.__code__ is not real
    assert policy.fire_at.__code__ is real


def test_it_is_undone_as_well_when_the_history_cannot_be_judged() -> None:
    real = policy.is_on_time.__code__
    with pytest.raises(KeyboardInterrupt), ENDLESS.applied():
        raise KeyboardInterrupt
    assert policy.is_on_time.__code__ is real


def test_what_a_broken_function_has_answered_is_forgotten() -> None:
    mutant = Mutant(
        "deaf",
        "nobody",
        "Every line follows real time.",
        (),
        "luad.core.cron.search:compile_cron",
        (("line.minute.is_free or line.hour.is_free", "True"),),
    )
    gap = 1_774_746_000_000  # 2026-03-29T01:00Z, when London's clocks go from 01:00 to 02:00
    zone = load_zone("Europe/London")
    assert next_after(compile_cron("30 1 * * *"), zone, gap - 60_000) == gap
    with mutant.applied():
        assert next_after(compile_cron("30 1 * * *"), zone, gap - 60_000) != gap
    assert next_after(compile_cron("30 1 * * *"), zone, gap - 60_000) == gap


def test_a_mutant_that_no_longer_means_anything_is_told() -> None:
    gone = Mutant("gone", "nobody", "", (), "luad.core.policy:is_too_late", (("return 5", "x"),))
    with pytest.raises(AssertionError, match="is not once in luad"):
        gone.judge(0)
