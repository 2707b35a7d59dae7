"""A change of some files gives the same items as a resolution of all, and nothing moves after it."""

from __future__ import annotations

import random  # noqa: TID251 - each folder has its seed
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from luad.config.jobs.last_good import LastGood, Parsed
from luad.core.model import Instant, Origin
from luad.errors import Problem


@dataclass(frozen=True)
class Word:
    name: str
    path: str
    line: int
    revision: str
    stale: bool = False


@dataclass(frozen=True)
class Text:
    """A file: names, each with a digit as revision; one that begins with ! is broken."""

    key: str
    problem: Problem | None = None

    @property
    def data(self) -> bytes:
        return self.key.encode()


Files = dict[str, Text]


class Words(LastGood[Word]):
    noun, plural, clash_code = "word", "words", "LU401"

    def __init__(self, limit: int = 100) -> None:
        super().__init__(limit, "use fewer")
        self.parsed_count = 0

    def parse(self, path: str, data: bytes, now: Instant | None) -> Parsed[Word]:
        del now
        self.parsed_count += 1
        if data.startswith(b"!"):
            return Parsed(path, (), (Problem(path, 1, 1, "LU001", "broken"),), is_broken=True)
        words = enumerate(data.decode().split(), 1)
        return Parsed(path, tuple(Word(each[0], path, line, each[1]) for line, each in words), ())

    def name_of(self, item: Word) -> str:
        return item.name

    def origin_of(self, item: Word) -> Origin:
        return Origin(item.path, item.line)

    def as_stale(self, item: Word) -> Word:
        return replace(item, stale=True)

    def reuse(self, item: Word, old: Word) -> Word:
        return old if old == item else item


class Folder:
    """Files that a random program edits, renames, breaks and deletes; some changes are unconfirmed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - no secret
        self.names = "abcde"[: self.dice.randint(2, 5)]
        self.paths = "pqrst"[: self.dice.randint(2, 5)]
        self.files: Files = {}
        self.unconfirmed: Mapping[str, Text | None] = {}

    def edit(self) -> tuple[Files, list[str]]:
        """Change some files; return the changed ones and the paths of the deleted ones."""
        before = dict(self.files)
        for _ in range(self.dice.choice([1, 1, 2, 3])):
            path, luck = self.dice.choice(self.paths), self.dice.random()
            if luck < 0.15:
                self.files.pop(path, None)
            elif luck < 0.25:
                self.files[path] = Text(f"!{self.dice.randint(0, 9)}")
            else:
                self.files[path] = self._some(3)
        self.unconfirmed = {}
        if self.files and self.dice.random() < 0.3:
            path = self.dice.choice(list(self.files))
            self.unconfirmed = {path: self.dice.choice([None, self._some(1)])}
        changed = {path: each for path, each in self.files.items() if before.get(path) != each}
        return changed, [path for path in before if path not in self.files]

    def _some(self, most: int) -> Text:
        names = self.dice.sample(self.names, self.dice.randint(0, min(most, len(self.names))))
        return Text(" ".join(f"{name}{self.dice.randint(0, 1)}" for name in names))


@pytest.mark.parametrize("limit", [100, 3])
def test_a_change_gives_what_a_resolution_of_all_files_gives(limit: int) -> None:
    for seed in range(300):
        folder, words = Folder(seed), Words(limit)
        for _ in range(10):
            changed, gone = folder.edit()
            twin = words.copy()
            words.change(changed, gone, unconfirmed=folder.unconfirmed)
            every = {**folder.files}
            twin.change(every, gone, unconfirmed=folder.unconfirmed, must_resolve=True)
            there = words.copy().update(folder.files, unconfirmed=folder.unconfirmed)
            assert there == twin.update(folder.files, unconfirmed=folder.unconfirmed), seed


def test_nothing_moves_after_a_change() -> None:
    for seed in range(300):
        folder, words = Folder(seed), Words()
        for _ in range(10):
            changed, gone = folder.edit()
            found = words.change(changed, gone, unconfirmed=folder.unconfirmed)
            words.delivered()
            again = words.copy().change({}, (), unconfirmed=folder.unconfirmed, must_resolve=True)
            assert again is not None
            assert again.items == {}, seed
            assert found is None or again.problems == found.problems, seed


@pytest.mark.parametrize("lost", [0.0, 0.5])
def test_the_delivered_changes_make_the_items_in_force(lost: float) -> None:
    """A part of the results is *lost*: their changes are in the next one."""
    for seed in range(200):
        folder, words = Folder(seed), Words()
        known: dict[str, Word] = {}
        for _ in range(10):
            changed, gone = folder.edit()
            found = words.change(changed, gone, unconfirmed=folder.unconfirmed)
            if folder.dice.random() < lost:
                continue
            words.delivered()
            for name, item in found.items.items() if found else ():
                if item is None:
                    assert lost or name in known, seed
                    known.pop(name, None)
                else:
                    known[name] = item
            assert known == words.copy().update(folder.files, unconfirmed=folder.unconfirmed).wanted


def test_a_file_is_accepted_once_its_rival_has_given_up_the_name() -> None:
    """`p` is missing for a moment, and `r` gets one of its names; then `r` is refused for another one."""
    words = Words()
    words.change({"p": Text("d1 b1 a1"), "r": Text("d0")}, (), unconfirmed={"p": None})
    found = words.change({"r": Text("d0 c1 b1")}, ())
    assert found is not None
    in_force = words.update({"p": Text("d1 b1 a1"), "r": Text("d0 c1 b1")}).wanted
    assert {each.path for each in in_force.values()} == {"p"}
    assert not any(each.stale for each in in_force.values())
    assert [each.path for each in found.problems] == ["r", "r"]


def test_a_change_looks_only_at_the_files_connected_by_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = Words(10_000)
    files = {f"{number}": Text(f"{chr(1_000 + number)}0") for number in range(2_000)}
    words.change(files, ())
    words.delivered()
    words.parsed_count = 0
    asked: list[Word] = []
    monkeypatch.setattr(words, "origin_of", lambda item: asked.append(item) or Origin(item.path))
    found = words.change({"7": Text(f"{chr(1_007)}1")}, ())
    assert found is not None
    assert list(found.items) == [chr(1_007)]
    assert words.parsed_count == 1
    assert len(asked) < 10
