"""Gives each run of a keeper a handler: a waiting process that a forker, or a template, has made.

Rule: it chooses and counts; the keeper starts the runs. A template that dies costs only the runs of its own
handlers, which the kernel ends with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.clock import elapsed_ms
from luad.runner.forker_link import make_forker
from luad.runner.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luad.runner.forker_link import ForkerLink, Handler, Request
    from luad.runner.spec import LaunchSpec

_LOOK_MS: Final = 10_000  # between two looks for templates that are not used


class ForkerGoneError(Exception):
    """The forker has died, and its handlers with it."""


class Supply:
    """The forker of a keeper, its templates, and the runs that wait for a handler of them."""

    def __init__(self, on_end: Callable[[int, int | None, list[int]], None]) -> None:
        self.base = make_forker(on_end)
        self._templates = Templates(self.base)
        self._links: dict[int, ForkerLink] = {self.base.fileno(): self.base}  # also dropped ones
        self._makers: dict[int, ForkerLink] = {}  # of the handlers that live, by pid
        self._on_end = on_end
        self._look_at = 0

    @property
    def links(self) -> list[ForkerLink]:
        """The forker and the templates, also those that only end their runs."""
        return list(self._links.values())

    def ask(self, request: Request) -> None:
        """Let the run of *request* wait for a handler."""
        link = self._templates.forker_for(request.spec)
        link.requests.append(request)
        link.need(1)

    def requests(self) -> Iterator[Request]:
        """Yield the runs that wait."""
        for link in self._links.values():
            yield from link.requests

    def forget_requests(self) -> None:
        """Drop the runs that wait."""
        for link in self._links.values():
            link.requests.clear()

    def learn(self, spec: LaunchSpec, found: object) -> None:
        """Take the packages that a run has imported."""
        self._templates.learn(spec, found)

    def new_links(self) -> list[ForkerLink]:
        """Return the templates made since the last call, which the keeper must read."""
        found = self._templates.take_new()
        self._links.update((link.fileno(), link) for link in found)
        return found

    def receive(self, link: ForkerLink) -> list[Handler]:
        """Take the news of *link*, and return its new handlers. Raises `ForkerGoneError`."""
        known = len(link.waiting)
        is_there = link.receive()
        fresh = list(link.waiting)[known:]
        self._makers.update((handler.pid, link) for handler in fresh)
        if is_there and not link.refusal:
            return fresh
        if link is self.base:
            raise ForkerGoneError
        self._on_template_gone(link)
        return []

    def failures(self, link: ForkerLink) -> list[tuple[int, list[str]]]:
        """Return the runs that get no handler, with the errors. Those of a template get another one."""
        if not link.errors:
            return []
        if link is not self.base:
            link.errors.clear()
            self._give_up(link)
            return []
        found = []
        while link.errors:
            error = link.errors.popleft()
            if link.requests:
                found.append((link.requests.popleft().number, error))
        return found

    def ask_end(self, pid: int) -> None:
        """Ask for the end of the handler *pid*; `on_end` gets the answer."""
        maker = self._makers.get(pid)
        if maker is not None:
            maker.ask_end(pid)

    def forget(self, pid: int) -> None:
        """Record that the handler *pid* has ended."""
        self._makers.pop(pid, None)

    def unused(self) -> list[ForkerLink]:
        """Return the templates to close: they are dropped, and none of their handlers runs."""
        now = elapsed_ms()
        if now >= self._look_at:
            self._look_at = now + _LOOK_MS
            for template in self._templates.idle(now):
                self._templates.drop(template)
        if len(self._links) == 1:
            return []
        kept = {self.base, *(each.link for each in self._templates)}
        return [link for link in self.links if link not in kept and not self._is_used(link)]

    def close(self, link: ForkerLink) -> None:
        """Close a template."""
        self._links.pop(link.fileno(), None)
        for handler in link.waiting:
            self._makers.pop(handler.pid, None)
        link.close()

    def _is_used(self, link: ForkerLink) -> bool:
        waiting = {handler.pid for handler in link.waiting}
        is_running = any(each is link and pid not in waiting for pid, each in self._makers.items())
        return bool(link.requests) or is_running

    def _on_template_gone(self, link: ForkerLink) -> None:
        """Give its waiting runs to the forker. Raises `ForkerGoneError` if one of its runs is lost."""
        self._give_up(link)
        if self._is_used(link):
            raise ForkerGoneError

    def _give_up(self, link: ForkerLink) -> None:
        if (template := self._templates.template_of(link)) is not None:
            self._templates.refuse(template)
        while link.requests:
            self.base.requests.append(link.requests.popleft())
            self.base.need(1)
