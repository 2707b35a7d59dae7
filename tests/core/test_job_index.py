"""Sorted names, and the index of jobs: the same as sorting and counting everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.call_steps import steps_of
from support.engine_bench import Bench, make_job
from support.recounted_index import check_index

from luad.core import sorted_names
from luad.core.events import ConfigLoaded
from luad.core.job_index import in_order, key_at, place_of
from luad.core.model import AlertPolicy, EndKind, Interval, Once, Origin, Wanted
from luad.core.requests import DeleteRequested, PauseRequested, ResumeRequested
from luad.core.sorted_names import SortedNames

NAMES = st.text("ab.-", min_size=1, max_size=4)


@given(st.lists(st.tuples(st.sampled_from("aru"), st.lists(NAMES, max_size=40)), max_size=30))
def test_sorted_names_are_what_sorting_gives(steps: list[tuple[str, list[str]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_names, "LONGEST", 8)
        known: set[str] = set()
        names = SortedNames()
        for kind, words in steps:
            if kind == "u":
                names.update(words)
                known.update(words)
            for word in words:
                if kind == "a":
                    names.add(word)
                    known.add(word)
                elif kind == "r" and word in known:
                    names.remove(word)
                    known.remove(word)
            assert list(names) == sorted(known)
            assert len(names) == len(known)
            for word in words:
                assert (word in names) is (word in known)
                assert list(names.after(word)) == sorted(each for each in known if each > word)
                assert list(names.beginning(word)) == [
                    each for each in sorted(known) if each.startswith(word)
                ]
                assert names.rank(word) == sum(each < word for each in known)


def test_a_change_takes_as_many_steps_with_a_hundred_thousand_names() -> None:
    def costs(count: int) -> list[int]:
        names = SortedNames(f"job-{number:07}" for number in range(count))
        return [
            steps_of(lambda: names.add("job-0000050x")),
            steps_of(lambda: names.remove("job-0000050x")),
            steps_of(lambda: next(names.after("job-0000049"))),
        ]

    few, many = costs(100), costs(100_000)
    assert all(after <= before + 8 for before, after in zip(few, many, strict=True)), (few, many)


def test_the_place_of_a_job_without_its_name_is_behind_the_one_that_holds_it() -> None:
    places = [
        place_of("a", "job_2", holds_name=False),
        place_of("a-b", "job_3", holds_name=True),
        place_of("a", "job_1", holds_name=True),
    ]
    assert list(map(key_at, sorted(places))) == ["a", "job_2", "a-b"]


def job_of(name: str, number: int) -> Any:
    fields: dict[str, Any] = {"tags": ("x", "y", "x")[: number % 4], "enabled": number % 5 != 0}
    if number % 3:
        fields["user"] = f"user-{number % 3}"
    if number % 7 == 0:
        fields["alert"] = AlertPolicy(to=("ann", f"user-{number % 2}"), after_failures=1)
    when = Once(START_OF_BENCH + 40_000 * (number % 9)) if number % 2 else Interval(60_000)
    return make_job(name, when, **fields)


START_OF_BENCH = 1_790_035_200_000
STEPS = st.tuples(
    st.sampled_from(
        ["load", "create", "replace", "delete", "pause", "resume", "time", "good", "bad", "again"]
    ),
    st.sampled_from(["a", "b", "b.c", "d", "e-f"]),
    st.integers(0, 40),
)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_the_index_is_a_count_over_all_jobs_whatever_happens(
    steps: list[tuple[str, str, int]],
) -> None:
    bench = Bench()
    files: dict[str, Wanted] = {}
    seconds = 0
    for kind, name, number in steps:
        match kind:
            case "load":
                files.pop(name, None)
                if number % 4:
                    files[name] = Wanted(
                        job_of(name, number), Origin(f"{name}.yaml"), stale=number % 6 == 0
                    )
                bench.feed(ConfigLoaded(dict(files)))
            case "create" | "replace":
                bench.create(job_of(name, number), "error" if kind == "create" else "replace")
            case "delete":
                bench.feed(DeleteRequested("d", name))
            case "pause":
                bench.feed(PauseRequested("p", name, ends_with_revision=bool(number % 2)))
            case "resume":
                bench.feed(ResumeRequested("r", name))
            case "time":
                seconds += number * 3_000 if number % 8 == 0 else number * 3
                bench.go_to(seconds)
            case "good" | "bad":
                for run in bench.engine.runs.all():
                    if run.job_name == name:
                        ending = EndKind.RETURNED if kind == "good" else EndKind.RAISED
                        bench.end(run, ending, run.attempt)
            case _:
                loaded = dict(files)
                bench.restart()
                bench.feed(ConfigLoaded(loaded))
        check_index(bench.engine)


def test_jobs_that_two_questions_find_come_once() -> None:
    groups = [SortedNames(["a", "b"]), "b", SortedNames(["b", "c"])]
    assert list(in_order(groups, "")) == ["a", "b", "c"]
    assert list(in_order(groups, "b")) == ["c"]
