"""All files together: last good versions, names that clash, and objects that stay the same."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from luad.config.jobs.catalogue import Catalogue, Loaded
from luad.config.settings.daemon_settings import Settings
from luad.core.model import Origin, Wanted
from luad.errors import Problem


@dataclass(frozen=True)
class Version:
    data: bytes
    key: str
    problem: Problem | None = None


def job(name: str, more: str = "") -> str:
    return f"name: {name}\nhandler: m:f\nschedule: {{type: interval, every: 1m}}\n{more}"


def files(**texts: str) -> dict[str, Version]:
    return {f"{stem}.yaml": Version(text.encode(), text) for stem, text in texts.items()}


def load(catalogue: Catalogue, **texts: str) -> Loaded:
    return catalogue.update(files(**texts))


def owners(loaded: Loaded) -> dict[str, str]:
    return {name: each.origin.path for name, each in loaded.wanted.items() if each.origin}


def stored(name: str, path: str) -> Wanted:
    (wanted,) = load(Catalogue(Settings()), a=job(name)).wanted.values()
    return Wanted(wanted.job, Origin(path))


def test_an_unchanged_snapshot_is_the_same_answer() -> None:
    catalogue = Catalogue(Settings())
    first = load(catalogue, a=job("a"), b=job("b"))
    assert load(catalogue, a=job("a"), b=job("b")) is first


def test_an_empty_snapshot_is_a_fine_one() -> None:
    assert Catalogue(Settings()).update({}) == Loaded()


def test_an_untouched_job_of_a_changed_file_is_the_same_object() -> None:
    catalogue = Catalogue(Settings())
    before = load(catalogue, a=job("a") + "---\n" + job("b"))
    after = load(catalogue, a=job("a") + "---\n" + job("b") + "---\n" + job("c"))
    assert after.wanted["a"] is before.wanted["a"]
    moved = load(catalogue, a="# a line more\n" + job("a") + "---\n" + job("b"))
    assert moved.wanted["a"].job is before.wanted["a"].job
    assert moved.wanted["a"].origin == Origin("a.yaml", 2)


def test_a_broken_file_keeps_its_last_good_jobs_and_others_move_on() -> None:
    catalogue = Catalogue(Settings())
    before = load(catalogue, a=job("a"), b=job("b"))
    after = load(catalogue, a=job("a", "timout: 5\n"), b=job("b", "timeout: 5\n"))
    assert after.wanted["a"].job is before.wanted["a"].job
    assert after.wanted["a"].stale
    assert after.stale == ("a.yaml",)
    assert after.wanted["b"].job.timeout_ms == 5_000
    mended = load(catalogue, a=job("a"), b=job("b"))
    assert mended.wanted["a"].job is before.wanted["a"].job
    assert not mended.wanted["a"].stale
    assert mended.stale == ()


def test_a_new_file_that_is_broken_has_nothing_to_keep() -> None:
    loaded = load(Catalogue(Settings()), a="name: [")
    assert not loaded.wanted
    assert loaded.stale == ()
    assert loaded.file_count == 1


def test_a_removed_file_takes_its_jobs_along_a_broken_one_does_not() -> None:
    catalogue = Catalogue(Settings())
    load(catalogue, a=job("a"), b=job("b"))
    assert set(load(catalogue, b="broken: [").wanted) == {"b"}
    assert set(load(catalogue).wanted) == set()


def test_a_refused_file_keeps_its_last_good_jobs() -> None:
    catalogue = Catalogue(Settings())
    load(catalogue, a=job("a"))
    refusal = Problem("a.yaml", 0, 0, "LU032", "others may write it")
    loaded = catalogue.update({"a.yaml": Version(b"", "", refusal)})
    assert loaded.problems == (refusal,)
    assert loaded.wanted["a"].stale
    assert load(catalogue, a=job("a")).problems == ()


def test_of_two_new_files_with_one_name_the_first_by_path_is_taken() -> None:
    for order in (("x", "y"), ("y", "x")):
        catalogue = Catalogue(Settings())
        loaded = load(catalogue, **{stem: job("same") for stem in order})
        assert owners(loaded) == {"same": "x.yaml"}
        (problem,) = loaded.problems
        assert (problem.path, problem.code) == ("y.yaml", "LU401")
        assert "first defined at x.yaml:1" in problem.message


def test_the_file_whose_job_is_in_force_keeps_the_name() -> None:
    catalogue = Catalogue(Settings())
    load(catalogue, y=job("same"))
    loaded = load(catalogue, x=job("same"), y=job("same"))
    assert owners(loaded) == {"same": "y.yaml"}
    assert [problem.path for problem in loaded.problems] == ["x.yaml"]
    assert owners(load(catalogue, x=job("same"))) == {"same": "x.yaml"}


def test_a_file_that_takes_a_name_away_keeps_its_own_last_good_job() -> None:
    catalogue = Catalogue(Settings())
    load(catalogue, a=job("a"), b=job("b"))
    loaded = load(catalogue, a=job("a"), b=job("a"))
    assert owners(loaded) == {"a": "a.yaml", "b": "b.yaml"}
    assert loaded.stale == ("b.yaml",)


def test_names_that_are_swapped_are_swapped_at_once_or_in_two_steps() -> None:
    for steps in ([("b", "a")], [("b", "b"), ("b", "a")]):
        catalogue = Catalogue(Settings())
        load(catalogue, x=job("a"), y=job("b"))
        for x, y in steps:
            loaded = load(catalogue, x=job(x), y=job(y))
        assert owners(loaded) == {"b": "x.yaml", "a": "y.yaml"}
        assert loaded.problems == ()


def test_a_file_that_may_have_gone_gives_its_names_to_whoever_has_them_now() -> None:
    """A renamed file stands at its new place at once; at the old one it is doubted for a while."""
    catalogue = Catalogue(Settings())
    before = load(catalogue, a=job("one") + "---\n" + job("two"))
    both = files(a=job("one") + "---\n" + job("two"), b=job("one", "timeout: 7\n"))
    loaded = catalogue.update(both, unconfirmed={"a.yaml": None})
    assert loaded.problems == ()
    assert loaded.stale == ()
    assert owners(loaded) == {"one": "b.yaml", "two": "a.yaml"}
    assert loaded.wanted["two"] is before.wanted["two"]
    assert owners(load(catalogue, b=job("one", "timeout: 7\n"))) == {"one": "b.yaml"}


def test_what_a_file_still_says_while_it_is_in_doubt_is_not_for_others_to_take() -> None:
    """Cut short in place, it may get the rest in a moment; what is left is its own, now and then."""
    catalogue = Catalogue(Settings())
    before = load(catalogue, a=job("one") + "---\n" + job("two"))
    cut = files(a=job("one"))["a.yaml"]
    both = files(a=job("one") + "---\n" + job("two"), b=job("one"), c=job("two"))
    loaded = catalogue.update(both, unconfirmed={"a.yaml": cut})
    assert owners(loaded) == {"one": "a.yaml", "two": "c.yaml"}
    assert loaded.wanted["one"] is before.wanted["one"]
    assert [(each.code, each.path) for each in loaded.problems] == [("LU401", "b.yaml")]
    settled = load(catalogue, a=job("one"), b=job("one"), c=job("two"))
    assert owners(settled) == {"one": "a.yaml", "two": "c.yaml"}
    assert [(each.code, each.path) for each in settled.problems] == [("LU401", "b.yaml")]


def test_a_file_that_had_not_gone_after_all_finds_its_name_taken() -> None:
    catalogue = Catalogue(Settings())
    load(catalogue, a=job("one"))
    both = files(a=job("one"), b=job("one"))
    assert owners(catalogue.update(both, unconfirmed={"a.yaml": None})) == {"one": "b.yaml"}
    loaded = catalogue.update(both)
    assert owners(loaded) == {"one": "b.yaml"}
    assert [(each.code, each.path) for each in loaded.problems] == [("LU401", "a.yaml")]
    assert catalogue.update(both) is loaded


def test_a_broken_file_that_may_have_gone_gives_its_names_as_well() -> None:
    catalogue = Catalogue(Settings())
    load(catalogue, a=job("one"))
    load(catalogue, a="name: [")
    both = files(a="name: [", b=job("one"))
    loaded = catalogue.update(both, unconfirmed={"a.yaml": None})
    assert owners(loaded) == {"one": "b.yaml"}
    assert {each.path for each in loaded.problems} == {"a.yaml"}


def test_a_renamed_file_keeps_its_job_objects() -> None:
    catalogue = Catalogue(Settings())
    before = load(catalogue, a=job("a")).wanted["a"]
    after = load(catalogue, b=job("a")).wanted["a"]
    assert after.job is before.job
    assert after.origin == Origin("b.yaml", 1)


def test_jobs_of_the_store_are_last_good_versions_after_a_restart() -> None:
    catalogue = Catalogue(Settings())
    installed = stored("a", "a.yaml")
    catalogue.seed([installed])
    loaded = load(catalogue, a="name: [")
    assert loaded.wanted["a"].job is installed.job
    assert loaded.stale == ("a.yaml",)


def test_a_good_file_after_a_restart_is_the_stored_job() -> None:
    catalogue = Catalogue(Settings())
    installed = stored("a", "a.yaml")
    catalogue.seed([installed])
    loaded = load(catalogue, a=job("a"))
    assert loaded.wanted["a"].job is installed.job
    assert not loaded.wanted["a"].stale


def test_a_file_that_is_gone_after_a_restart_takes_its_job_along() -> None:
    catalogue = Catalogue(Settings())
    catalogue.seed([stored("a", "a.yaml")])
    assert set(catalogue.update({}).wanted) == set()


def test_a_folder_that_cannot_be_read_after_a_restart_keeps_its_jobs() -> None:
    catalogue = Catalogue(Settings())
    installed = stored("a", "jobs.d/a.yaml")
    catalogue.seed([installed, stored("b", "more.d/b.yaml")])
    loaded = catalogue.update({}, unread={"jobs.d"})
    assert set(loaded.wanted) == {"a"}
    assert loaded.wanted["a"].job is installed.job
    assert loaded.stale == ("jobs.d/a.yaml",)
    assert set(catalogue.update({}).wanted) == set(), "now it is there, and empty"


def test_the_owner_of_a_name_is_remembered_over_a_restart() -> None:
    catalogue = Catalogue(Settings())
    catalogue.seed([stored("same", "y.yaml")])
    assert owners(load(catalogue, x=job("same"), y=job("same"))) == {"same": "y.yaml"}


def test_a_copy_goes_its_own_way() -> None:
    catalogue = Catalogue(Settings())
    before = load(catalogue, a=job("a"))
    twin = catalogue.copy()
    assert set(load(twin, b=job("b")).wanted) == {"b"}
    assert load(catalogue, a=job("a")) is before


def test_too_many_jobs_leave_those_in_force_alone() -> None:
    catalogue = Catalogue(dataclasses.replace(Settings(), max_jobs=2))
    load(catalogue, x=job("x"), y=job("y"))
    loaded = load(catalogue, a=job("a"), x=job("x"), y=job("y"))
    assert set(loaded.wanted) == {"x", "y"}
    assert [(problem.path, problem.code) for problem in loaded.problems] == [("a.yaml", "LU007")]


stems = st.sampled_from(["x", "y", "z"])
names = st.sampled_from(["a", "b", "c"])


class CatalogueKeepsItsPromises(RuleBasedStateMachine):
    """Files come, go, break and clash; what is in force follows one file or the last good one."""

    def __init__(self) -> None:
        super().__init__()
        self.catalogue = Catalogue(Settings())
        self.texts: dict[str, str] = {}
        self.loaded = Loaded()

    @rule(stem=stems, wanted=st.lists(names, unique=True, max_size=2), timeout=st.integers(1, 2))
    def write(self, stem: str, wanted: list[str], timeout: int) -> None:
        self.texts[stem] = "---\n".join(job(name, f"timeout: {timeout}\n") for name in wanted)
        self.reload()

    @rule(stem=stems)
    def break_it(self, stem: str) -> None:
        self.texts[stem] = "name: ["
        self.reload()

    @rule(stem=stems)
    def remove(self, stem: str) -> None:
        self.texts.pop(stem, None)
        self.reload()

    def reload(self) -> None:
        before = self.loaded
        self.loaded = load(self.catalogue, **self.texts)
        for name, each in self.loaded.wanted.items():
            old = before.wanted.get(name)
            if old is not None and old.job.revision == each.job.revision:
                assert each.job is old.job

    @invariant()
    def every_job_in_force_is_of_a_file_that_is_there(self) -> None:
        for name, path in owners(self.loaded).items():
            assert path.removesuffix(".yaml") in self.texts
            assert self.loaded.wanted[name].job.name == name

    @invariant()
    def nothing_is_lost_without_a_problem(self) -> None:
        troubled = {problem.path for problem in self.loaded.problems}
        for stem, text in self.texts.items():
            asked = {line[6:] for line in text.splitlines() if line.startswith("name: ")}
            held = {name for name, path in owners(self.loaded).items() if path == f"{stem}.yaml"}
            assert asked == held or f"{stem}.yaml" in troubled

    @invariant()
    def stale_files_are_those_whose_jobs_are_marked(self) -> None:
        marked = {
            each.origin.path for each in self.loaded.wanted.values() if each.stale and each.origin
        }
        assert marked == set(self.loaded.stale)


TestCatalogueKeepsItsPromises = pytest.mark.slow(CatalogueKeepsItsPromises.TestCase)
TestCatalogueKeepsItsPromises.settings = hypothesis_settings(
    max_examples=40, stateful_step_count=20
)
