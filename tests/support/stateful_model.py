"""What a live daemon should hold, as far as somebody outside can know: the model of `test_stateful`.

A request whose answer never came may have happened or not; the model then keeps both possibilities
until it sees which one is true.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = Any


@dataclass
class Thing:
    """A job as it should be."""

    seconds: int
    declared: dict[str, JSON]
    is_dynamic: bool = True
    metadata: dict[str, JSON] = field(default_factory=dict)
    description: str = ""
    is_paused: bool = False

    def __post_init__(self) -> None:
        self.metadata = self.metadata or dict(self.declared)

    def redeclare(self, seconds: int, declared: dict[str, JSON]) -> None:
        """Keep the written keys, except those that are declared differently now."""
        for key in {*self.declared, *declared}:
            if self.declared.get(key) != declared.get(key):
                self.metadata.pop(key, None)
                if key in declared:
                    self.metadata[key] = declared[key]
        self.seconds, self.declared = seconds, declared

    def shown(self) -> list[JSON]:
        return [self.is_dynamic, self.seconds, self.metadata, self.description, self.is_paused]


def shown(view: Mapping[str, Any]) -> list[JSON]:
    """The same, of what the daemon shows."""
    return [
        view["dynamic"],
        view["schedule"]["seconds"],
        view["metadata"],
        view["description"],
        view["pause"] is not None,
    ]


@dataclass
class Truth:
    """Jobs by name; the files as they were last loaded; what was removed, and when; runs asked for."""

    jobs: dict[str, Thing] = field(default_factory=dict)
    aside: dict[str, Thing] = field(
        default_factory=dict
    )  # dynamic jobs that a file took the name of
    files: dict[str, tuple[int, dict[str, JSON]]] = field(default_factory=dict)
    unsure: dict[str, list[Thing | None]] = field(default_factory=dict)
    removed_at: dict[str, int] = field(default_factory=dict)  # by job id: when it was answered
    ids: dict[str, str] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)

    def load(self, files: dict[str, tuple[int, dict[str, JSON]]]) -> None:
        self.files = dict(files)
        for name, thing in list(self.jobs.items()):
            if not thing.is_dynamic and name not in files:
                del self.jobs[name]
                if name in self.aside:
                    self.jobs[name] = self.aside.pop(name)
        for name, (seconds, declared) in files.items():
            thing_now = self.jobs.get(name)
            if thing_now is not None and thing_now.is_dynamic:
                self.aside[name], thing_now = thing_now, None
            if thing_now is None:
                self.jobs[name] = Thing(seconds, dict(declared), is_dynamic=False)
            else:
                thing_now.redeclare(seconds, dict(declared))

    def remove(self, name: str) -> None:
        """A dynamic job is gone."""
        del self.jobs[name]

    def doubt(self, name: str, change: Callable[[], None]) -> None:
        """*change* of the job of that name may have happened."""
        before = copy.deepcopy(self.jobs.get(name))
        change()
        self.unsure[name] = [before, self.jobs.get(name)]

    def settle(self, views: list[Mapping[str, Any]]) -> None:
        """Hold everything against what the daemon shows; what was in doubt is known then."""
        there = {view["name"]: view for view in views if view["holds_name"]}
        aside = {view["name"]: view for view in views if not view["holds_name"]}
        for name, possible in self.unsure.items():
            view = there.get(name)
            found = [each for each in possible if _is_same(each, view)]
            assert found, f"{name} is {view}, and should be one of {possible}"
            if found[0] is None:
                self.jobs.pop(name, None)
            else:
                self.jobs[name] = found[0]
        self.unsure.clear()
        assert {name: as_text(shown(view)) for name, view in there.items()} == {
            name: as_text(thing.shown()) for name, thing in self.jobs.items()
        }
        assert {name: as_text(shown(view)) for name, view in aside.items()} == {
            name: as_text([*thing.shown()[:-1], True]) for name, thing in self.aside.items()
        }
        self.ids = {name: view["id"] for name, view in there.items()}


def _is_same(thing: Thing | None, view: Mapping[str, Any] | None) -> bool:
    if thing is None or view is None:
        return thing is None and view is None
    return as_text(thing.shown()) == as_text(shown(view))


def as_text(value: JSON) -> str:
    return json.dumps(value, sort_keys=True)
