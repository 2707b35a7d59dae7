"""People: files of `users.d/`, and bodies of the API, to persons or to what is wrong with them.

Room rule: bytes or values in, values out; opens no file, resolves no reference.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from luad.config.build import revision_of
from luad.config.catalogue import FileVersion
from luad.config.check import Mistake, find_mistakes
from luad.config.locate import locate, pointer
from luad.config.marks import read_marks
from luad.config.problems import with_excerpts
from luad.config.schema import obeys
from luad.config.yaml import Document, Limits, parse_yaml
from luad.core.model import JSON, SECOND, Origin, Wanted
from luad.core.people import Channel, ChannelKind, Person
from luad.core.zones import ZoneError, load_zone
from luad.errors import Problem, Severity, ValidationError
from luad.wire import parse_duration_ms

_MAX_TIMEOUT_MS: Final = 60 * SECOND
_NEED_URL: Final = frozenset({ChannelKind.WEBHOOK, ChannelKind.APPRISE})
_SCHEMES: Final = ("http://", "https://", "${", "file:", "credential:")


@dataclass(frozen=True, slots=True)
class ParsedPeople:
    """What a file says. *is_broken*: there is an error among the problems."""

    people: tuple[Person, ...]
    problems: tuple[Problem, ...]
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class LoadedPeople:
    """What all files say: people by id, and everything that is wrong."""

    people: Mapping[str, Person] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()


def load_people(path: str, data: bytes, max_bytes: int = 1 << 20) -> ParsedPeople:
    """Return the people of a file, and everything that is wrong with it; never raises."""
    limits = Limits(max_bytes=max_bytes)
    people: dict[str, Person] = {}
    problems: list[Problem] = []
    for document in parse_yaml(data, path, limits):
        problems.extend(document.problems)
        if not document.is_complete:
            continue
        person, mistakes = _person(document)
        if person is not None and person.id in people:
            first = people[person.id].origin
            place = f"{path}:{first.line}" if first else path
            mistakes.append(_same_id(person.id, place))
        if mistakes:
            marks = read_marks(document)
            problems.extend(locate(each, document, marks) for each in mistakes)
        elif person is not None:
            people[person.id] = person
    shown = with_excerpts(sorted(problems)[: limits.max_problems], data)
    if any(each.severity is Severity.ERROR for each in shown):
        return ParsedPeople((), shown, is_broken=True)
    return ParsedPeople(tuple(people.values()), shown)


def person_from_body(body: Mapping[str, JSON]) -> Person:
    """Return the person that *body* declares. Raises `ValidationError` with all mistakes at once."""
    document = dict(body)
    person, mistakes = None, find_mistakes(document, "users")
    if not mistakes:
        person = _build(document, mistakes)
    if mistakes or person is None:
        errors = tuple(_error(each) for each in mistakes)
        raise ValidationError(
            f"the user cannot be meant so: {errors[0]['detail']}",
            hint=errors[0].get("hint", ""),
            errors=errors,
        )
    return person


def _error(mistake: Mistake) -> dict[str, str]:
    item = {
        "pointer": f"#{pointer(mistake.path)}",
        "code": mistake.code,
        "detail": mistake.message,
    }
    return item | {"hint": mistake.help} if mistake.help else item


def _person(document: Document) -> tuple[Person | None, list[Mistake]]:
    if not obeys("users")(document.value):
        return None, find_mistakes(document.value, "users", read_marks(document))
    mistakes: list[Mistake] = []
    person = _build(document.value, mistakes)
    return replace(person, origin=Origin(document.source.path, document.line)), mistakes


def _build(value: Mapping[str, Any], mistakes: list[Mistake]) -> Person:
    zone = value.get("timezone", "")
    if zone:
        try:
            load_zone(zone)
        except ZoneError as error:
            near = " or ".join(f"`{each}`" for each in error.suggestions)
            help_text = f"did you mean {near}?" if near else "IANA names look like Europe/London"
            mistakes.append(Mistake(("timezone",), "LU205", error.message, help_text))
    channels: list[Channel] = []
    for number, item in enumerate(value.get("channels", ("inbox",))):
        channel = _channel(number, item, mistakes)
        if any(each.name == channel.name for each in channels):
            mistakes.append(
                Mistake(
                    ("channels", number),
                    "LU602",
                    f"there are two channels `{channel.name}`",
                    "give one of them another `name`",
                )
            )
        channels.append(channel)
    return Person(
        value["id"],
        value.get("full_name", ""),
        tuple(value.get("emails", ())),
        tuple(value.get("phones", ())),
        zone,
        tuple(channels),
        revision_of(value),
        definition=dict(value),
    )


def _channel(number: int, item: Any, mistakes: list[Mistake]) -> Channel:
    if isinstance(item, str):
        return Channel(item, ChannelKind(item))
    kind = ChannelKind(item["type"])
    url = item.get("url", "")
    place = ("channels", number)
    if kind in _NEED_URL and not url:
        message = f"a channel of type {kind.value} needs `url`"
        mistakes.append(Mistake(place, "LU601", message, 'add  url: "${SOME_VARIABLE}"'))
    if kind not in _NEED_URL and url:
        message = f"a channel of type {kind.value} goes nowhere"
        mistakes.append(Mistake((*place, "url"), "LU601", message, "remove `url`"))
    if kind is ChannelKind.WEBHOOK and url and not url.startswith(_SCHEMES):
        message = "a webhook is an http or https address"
        mistakes.append(Mistake((*place, "url"), "LU603", message, "write https://…"))
    timeout_ms = 10 * SECOND
    if "timeout" in item:
        try:
            timeout_ms = parse_duration_ms(item["timeout"])
        except ValueError as error:
            mistakes.append(Mistake((*place, "timeout"), "LU104", str(error), "write 5s"))
        if not 0 < timeout_ms <= _MAX_TIMEOUT_MS:
            message = "a time limit is more than nothing and at most a minute"
            mistakes.append(Mistake((*place, "timeout"), "LU104", message, "write 10s"))
    return Channel(
        item.get("name", kind.value),
        kind,
        url,
        tuple(item.get("headers", {}).items()),
        timeout_ms,
        item.get("allow_private", False),
    )


def _same_id(user_id: str, place: str) -> Mistake:
    message = f"duplicate user `{user_id}`"
    return Mistake(("id",), "LU401", message, f"first defined at {place}; rename one")


def unknown_users(wanted: Mapping[str, Wanted], people: Mapping[str, Person]) -> list[Problem]:
    """Warn of the jobs of files that are for nobody there is."""
    problems = []
    for name, each in wanted.items():
        user, origin = each.job.user, each.origin
        if user is None or origin is None or user in people:
            continue
        message = f"the job `{name}` is for `{user}`, and there is no such user"
        near = difflib.get_close_matches(user, people, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"add users.d/{user}.yaml"
        place = (origin.path, origin.line, 1)
        problems.append(Problem(*place, "LU404", message, hint, Severity.WARNING, job=name))
    return problems


class PeopleCatalogue:
    """Remembers every file of the folders of people, and the last good version of a broken one."""

    def __init__(self, max_bytes: int = 1 << 20) -> None:
        self._max_bytes = max_bytes
        self._seen: dict[str, tuple[str, ParsedPeople]] = {}
        self._good: dict[str, tuple[Person, ...]] = {}
        self._holder: dict[str, str] = {}  # by id: the file that had it first

    def update(self, files: Mapping[str, FileVersion]) -> LoadedPeople:
        """Return what *files*, a complete snapshot by shown path, say."""
        for path in [each for each in self._seen if each not in files]:
            del self._seen[path]
            self._good.pop(path, None)
        for path, version in files.items():
            known = self._seen.get(path)
            if known is None or known[0] != version.key or version.problem is not None:
                self._seen[path] = (version.key, self._parse(path, version))
        people: dict[str, Person] = {}
        problems: list[Problem] = []
        stale: list[str] = []
        for path in sorted(self._seen, key=self._order):
            parsed = self._seen[path][1]
            problems.extend(parsed.problems)
            if parsed.is_broken:
                stale += [path] if path in self._good else []
                self._add(people, problems, _stale(self._good.get(path, ())), path)
            else:
                self._good[path] = parsed.people
                self._add(people, problems, parsed.people, path)
        self._holder = {each.id: _path_of(each) for each in people.values()}
        return LoadedPeople(people, tuple(sorted(problems)), tuple(stale))

    def _parse(self, path: str, version: FileVersion) -> ParsedPeople:
        if version.problem is not None:
            return ParsedPeople((), (version.problem,), is_broken=True)
        return load_people(path, version.data, self._max_bytes)

    def _order(self, path: str) -> tuple[bool, str]:
        """Files that have held an id before come first: the newcomer has to give way."""
        return path not in self._holder.values(), path

    def _add(
        self,
        people: dict[str, Person],
        problems: list[Problem],
        found: Iterable[Person],
        path: str,
    ) -> None:
        for person in found:
            other = people.setdefault(person.id, person)
            if other is not person:
                line = person.origin.line if person.origin else 1
                place = f"{_path_of(other)}:{other.origin.line if other.origin else 1}"
                message = f"duplicate user `{person.id}`"
                hint = f"first defined at {place}; this one is not in force"
                problems.append(Problem(path, line, 1, "LU401", message, hint))


def _stale(people: Iterable[Person]) -> tuple[Person, ...]:
    return tuple(replace(each, stale=True) for each in people)


def _path_of(person: Person) -> str:
    return person.origin.path if person.origin else ""
