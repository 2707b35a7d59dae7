"""Decides which runs get a handler from a template, which template, and when one is dropped.

A template is made after the second run of a handler that imports installed packages, so that the third can use
it. Its key is those packages with the status of their files, the whole environment of the run without
the variables of the run itself, and the folder of the run. It is dropped after a change, after 10 minutes
without a run, and gives way to a new one after five, if there are many. `template` refuses what is too large or not fit for a fork.

Rule: in doubt a run gets a usual handler. No run waits for a template to be made.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luad.clock import elapsed_ms
from luad.runner.warmth import MOST_MODULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from luad.runner.forker_link import ForkerLink
    from luad.runner.spec import LaunchSpec

RUNS_UNTIL_MADE: Final = 2
LOOK_AGAIN: Final = 32
"""After so many runs a handler is asked again, because it may have been edited."""

IDLE_MS: Final = 600_000
KEPT_MS: Final = 300_000
"""The time after its last run for which a template does not give way to another one."""

MOST: Final = 8  # templates of a keeper
_MOST_KNOWN: Final = 1_000  # handlers
_MOST_REFUSED: Final = 100
_LARGEST_ORDER: Final = 120_000  # bytes, which must fit into a packet

RUN_VARIABLES: Final = ("LUAD_JOB", "LUAD_RUN_ID", "LUAD_ATTEMPT", "LUAD_SCHEDULED_FOR")
"""The environment variables that differ between the runs of a handler."""

World = tuple[tuple[tuple[str, str], ...], str, tuple[str, ...]]
"""The environment of a run without its own variables, its folder, and the handlers' folders."""


class Packages(NamedTuple):
    """The modules that runs of a handler import, in their order, and the files of installed ones."""

    modules: tuple[str, ...]
    files: tuple[str, ...]


NOTHING: Final = Packages((), ())


class _Known:
    """The packages that the runs of one handler in one world have imported."""

    def __init__(self) -> None:
        self.runs = 0  # in a row that have imported the same
        self.packages = NOTHING
        self.until_next = 0  # runs that are not asked

    def must_ask(self) -> bool:
        """Return True if the next run must report its packages."""
        if self.until_next == 0:
            return True
        self.until_next -= 1
        return False


class Template:
    """A template, and what it depends on."""

    def __init__(self, link: ForkerLink, packages: Packages, world: World) -> None:
        self.link = link
        self.used_ms = elapsed_ms()
        self._packages = packages
        self._tops = frozenset(name.partition(".")[0] for name in packages.modules)
        self._roots = world[2]
        self._status = _status_of(packages.files)
        self._folders: list[object] = []
        self._is_shadowed = False
        self.is_current()

    def is_current(self) -> bool:
        """Return False if a run would import anything else now than the template has imported."""
        if _status_of(self._packages.files) != self._status:
            return False
        folders = _status_of(self._roots)
        if folders != self._folders:  # names have come or gone
            self._folders = folders
            names = {name.partition(".")[0] for root in self._roots for name in _names_in(root)}
            self._is_shadowed = not self._tops.isdisjoint(names)
        return not self._is_shadowed


class Templates:
    """The templates of one keeper. *forker* makes them."""

    def __init__(self, forker: ForkerLink) -> None:
        self._forker = forker
        self._known: dict[tuple[str, World], _Known] = {}
        self._templates: dict[tuple[World, Packages], Template] = {}
        self._refused: dict[tuple[World, Packages], list[object]] = {}
        self._news: list[ForkerLink] = []

    def __iter__(self) -> Iterator[Template]:
        return iter(list(self._templates.values()))

    def forker_for(self, spec: LaunchSpec) -> ForkerLink:
        """Return the forker of a run: a template, or the usual one. May ask the run for its packages."""
        if not spec["warm"]:
            return self._forker
        key = spec["handler"], world_of(spec)
        known = self._known.get(key)
        spec["learn"] = known is None or known.must_ask()
        if known is None or known.runs < RUNS_UNTIL_MADE or known.packages == NOTHING:
            return self._forker
        which = key[1], known.packages
        template = self._templates.get(which)
        if template is None:
            self._make(which)
            return self._forker
        if not template.is_current():
            self.drop(template)
            del self._known[key]
            spec["learn"] = True
            return self._forker
        template.used_ms = elapsed_ms()
        return template.link if template.link.is_ready else self._forker

    def learn(self, spec: LaunchSpec, found: object) -> None:
        """Take the packages that a run has imported, which its process has reported."""
        packages = _checked(found)
        if packages is None:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        known = self._known.setdefault((spec["handler"], world_of(spec)), _Known())
        known.runs = known.runs + 1 if known.packages == packages else 1
        known.packages, known.until_next = packages, 0
        if known.runs >= RUNS_UNTIL_MADE:
            known.until_next = LOOK_AGAIN
            if packages != NOTHING:
                self._make((world_of(spec), packages))

    def take_new(self) -> list[ForkerLink]:
        """Return the templates that were made since the last call."""
        found, self._news = self._news, []
        return found

    def template_of(self, link: ForkerLink) -> Template | None:
        """Return the template at the other end of *link*; None if it is the usual forker, or dropped."""
        return next((each for each in self if each.link is link), None)

    def refuse(self, template: Template) -> None:
        """Drop a template that has refused itself or has died; try again once its files change."""
        which = self._key_of(template)
        self.drop(template)
        if len(self._refused) >= _MOST_REFUSED:
            self._refused.clear()
        self._refused[which] = _status_of(which[1].files)

    def drop(self, template: Template) -> None:
        """Give runs no more handlers of *template*. The keeper closes it when its runs are over."""
        self._templates.pop(self._key_of(template), None)

    def idle(self, now: int) -> list[Template]:
        """Return the templates that no run has used for some time."""
        return [each for each in self if now - each.used_ms >= IDLE_MS]

    def _key_of(self, template: Template) -> tuple[World, Packages]:
        return next(key for key, each in self._templates.items() if each is template)

    def _make(self, which: tuple[World, Packages]) -> None:
        """Have a template made, unless it was refused and nothing has changed."""
        world, packages = which
        if which in self._templates or self._refused.get(which) == _status_of(packages.files):
            return
        self._refused.pop(which, None)
        order = {"modules": packages.modules, "env": dict(world[0]), "cwd": world[1]}
        data = json.dumps(order).encode()
        if len(data) > _LARGEST_ORDER:
            return
        if len(self._templates) >= MOST:
            oldest = min(self._templates.values(), key=lambda each: each.used_ms)
            if elapsed_ms() - oldest.used_ms < KEPT_MS:
                return  # templates that replaced each other all the time would cost more than imports
            self.drop(oldest)
        # The status is taken before the import, so that a change meanwhile is noticed.
        link = self._forker.make_template(data)
        if link is not None:
            self._templates[which] = Template(link, packages, world)
            self._news.append(link)


def world_of(spec: LaunchSpec) -> World:
    """Return all that the packages of a run may see while they are imported."""
    env = sorted(item for item in spec["env"].items() if item[0] not in RUN_VARIABLES)
    return tuple(env), spec["cwd"], tuple(spec["handlers_path"])


def _checked(found: object) -> Packages | None:
    """Return the packages of a report; None if it is not one, because a handler can write anything."""
    if not isinstance(found, dict):
        return None
    modules, files = found.get("modules"), found.get("files")
    if not isinstance(modules, list) or not isinstance(files, list):
        return None
    if len(modules) > MOST_MODULES or not all(isinstance(each, str) for each in modules + files):
        return None
    return Packages(tuple(modules), tuple(files))


def _status_of(paths: Sequence[str]) -> list[object]:
    """Return the status of files, and of the folders where packages are installed."""
    found: list[object] = []
    for path in (*paths, *sys.path):
        status: Any = None
        with suppress(OSError, ValueError):
            status = os.stat(path)
            status = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        found.append(status)
    return found


def _names_in(folder: str) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []
