"""Every door of the SDK takes the same values, and refuses the others with an error of luad."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import luad
from luad import Cron, Every, LuadError, Once, Retry, sync
from luad.sync import InvalidSchedule, Job, Jobs, User, ValidationError
from luad.testing.world import World


def look(job: Job) -> str:
    return job.name


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


ODD: list[Any] = [
    *(0, -1, 10**30, 10**5000, True, 1.5, float("inf"), float("nan"), 1e300),
    *("", " ", "к", "a\r\nb", "\0", "\ud800", "x" * 5_000, "../..", "soon", "03/04", "5:00"),
    *(b"bytes", (), [], {}, {"email": "a@b.c"}, [1], {1: 2}, {"a": object()}, {"\ud800": 1}),
    *(deep(3_000), circle(), MappingProxyType({"a": 1}), {1, 2}, Decimal(1), object, Unshowable()),
    *(datetime(2026, 1, 1), date(2026, 1, 1), datetime.max, datetime.max.replace(tzinfo=UTC)),  # noqa: DTZ001, DTZ901 - odd on purpose
    *(timedelta.max, timedelta(-1), timezone(timedelta(seconds=1)), lambda: None, print, Every),
    *(Every(float("inf")), Once("never"), Cron("x y"), Retry(0), luad.File(5), luad.Text(5)),  # type: ignore[arg-type]
    {"type": "once", "execute_at": datetime(2030, 1, 1, tzinfo=UTC), "x": 1},
]


@pytest.fixture(autouse=True)
def world(luad_jobs_sync: World) -> World:
    luad_jobs_sync.add_user("ann", timezone="Europe/Riga", emails=["ann@example.com"])
    luad_jobs_sync.add_user("bob")
    return luad_jobs_sync


def make(**words: Any) -> Job:
    return Jobs.create(**{"handler": look, "user": None, **words})


def doors() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Every argument of every call, by its name."""
    words = (
        *("handler", "name", "at", "in_", "every", "cron", "schedule", "timezone", "description"),
        *("metadata", "user", "timeout", "retry", "tags", "activate", "keep", "if_exists"),
        *("idempotency_key", "overlap", "max_running", "catch_up", "catch_up_window", "jitter"),
        *(
            "on_lost",
            "pause_after_failures",
            "alert",
            "env",
            "nice",
            "warm",
            "log_level",
            "limits",
            "enabled",
        ),
    )
    when = {"at", "in_", "every", "cron", "schedule"}
    for word in words:
        known = {} if word in when else {"in_": 60}
        yield f"create {word}", lambda odd, word=word, known=known: make(**{**known, word: odd})
    job = make(every=3_600)
    for word in words:
        yield f"update {word}", lambda odd, word=word: job.update(**{word: odd})
    user = User.get("ann")
    assert user is not None
    yield "Jobs.get", Jobs.get
    for word in ("status", "health", "tag", "user", "source", "q", "sort"):
        yield f"get_all {word}", lambda odd, word=word: Jobs.get_all(**{word: odd})
    yield "include_dynamic", lambda odd: Jobs.get_all(include_dynamic=odd)
    yield "User.get", User.get
    yield "User.get email", lambda odd: User.get(email=odd)
    yield "User.get phone", lambda odd: User.get(phone=odd)
    yield "acting_for", luad.acting_for
    for name in ("update", "patch"):
        yield f"user.{name}", getattr(user, name)
    yield "user.update key", lambda odd: user.update(key=odd)
    for word in ("title", "channels", "require", "priority", "dedupe_key"):
        yield f"send {word}", lambda odd, word=word: user.send("hello", **{word: odd})
    yield "send", user.send
    yield "send list", lambda odd: user.send([odd])
    yield "messages", user.messages
    for name in ("update_metadata", "patch_metadata", "replace_metadata", "restore", "snooze"):
        yield f"job.{name}", getattr(job, name)
    for word in ("metadata", "force", "revision"):
        yield f"trigger {word}", lambda odd, word=word: job.trigger(**{word: odd})
    for word in ("reason", "until"):
        yield f"pause {word}", lambda odd, word=word: job.pause(**{word: odd})
    yield "resume", lambda odd: job.resume(catch_up=odd)
    for word in ("limit", "offset", "status"):
        yield f"runs {word}", lambda odd, word=word: job.runs(**{word: odd})


@pytest.mark.slow
def test_no_door_lets_anything_but_an_error_of_luad_out() -> None:
    raw = []
    for (name, door), odd in itertools.product(doors(), ODD):
        try:
            door(odd)
        except LuadError:
            continue
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            raw.append((name, type(odd).__name__, type(error).__name__))
    assert raw == []


async def test_the_face_that_is_awaited_refuses_the_same(world: World) -> None:
    del world
    for odd in ODD:
        for call in (
            lambda odd=odd: luad.Jobs.create(handler=look, in_=odd, user=None),
            lambda odd=odd: luad.Jobs.create(handler=look, in_=1, user=None, idempotency_key=odd),
            lambda odd=odd: luad.Jobs.get(odd),
            lambda odd=odd: luad.User.get(odd) if odd is not None else asyncio.sleep(0),
        ):
            with suppress(LuadError):
                await call()


def test_connect_refuses_what_is_not_an_address() -> None:
    for call in (luad.connect, lambda odd: luad.connect("http://127.0.0.1:1", odd)):
        for odd in (5, "к", "a\r\nb", {}, ""):
            with pytest.raises(LuadError):
                call(odd)


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ({"in_": float("inf")}, "in_"),
        ({"in_": 60, "timeout": float("nan")}, "timeout"),
        ({"in_": 60, "metadata": {"d": deep(3_000)}}, r"metadata\["),
        ({"in_": 60, "metadata": {"n": 10**5000}}, r'metadata\["n"\]'),
        ({"in_": 60, "idempotency_key": "к"}, "idempotency_key"),
        ({"in_": 60, "idempotency_key": "a\r\nb"}, "idempotency_key"),
    ],
)
def test_a_refusal_names_the_argument_and_the_way_out(words: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError, match=rf"^{place}") as refused:
        make(**words)
    assert refused.value.hint


def test_a_user_that_is_asked_for_as_in_lua_is_told_the_way() -> None:
    with pytest.raises(ValidationError) as refused:
        User.get({"email": "ann@example.com"})  # type: ignore[arg-type]
    assert refused.value.hint == 'write User.get(email="ann@example.com")'
    for wrong in (123, 5.0, b"ann"):
        with pytest.raises(ValidationError, match="is not a text"):
            User.get(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="id_or_name: 5 is not a text"):
        Jobs.get(5)  # type: ignore[arg-type]


IN_2030 = datetime(2030, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    "words",
    [
        {"at": IN_2030},
        {"at": "2030-01-02T03:00:00Z"},
        {"at": "2030-01-02 03:00", "timezone": "UTC"},
        {"at": "2030-01-02 3am", "timezone": UTC},
        {"at": IN_2030.replace(tzinfo=None), "timezone": ZoneInfo("UTC")},
        {"schedule": Once(IN_2030)},
        {"schedule": {"type": "once", "execute_at": IN_2030}},
        {"schedule": {"type": "once", "execute_at": "2030-01-02 03:00", "timezone": UTC}},
        {"at": "2030-01-02 05:00", "user": "ann"},
        {"at": datetime(2030, 1, 2, 5), "user": "ann"},  # noqa: DTZ001 - read in the zone of ann
        {"schedule": Once("2030-01-02 05:00"), "user": "ann"},
        {"schedule": {"type": "once", "execute_at": datetime(2030, 1, 2, 5)}, "user": "ann"},  # noqa: DTZ001
    ],
)
def test_an_instant_is_taken_in_every_form(words: dict[str, Any]) -> None:
    assert make(**words).next_run_at == IN_2030


@pytest.mark.parametrize(
    "ninety", [5_400, 5_400.0, "90m", "1h30m", "1h 30m", "90 minutes", timedelta(minutes=90)]
)
def test_a_length_of_time_is_taken_in_every_form(ninety: Any, world: World) -> None:
    assert make(in_=ninety).next_run_at == world.now + timedelta(minutes=90)
    for words in (
        {"every": ninety},
        {"schedule": Every(ninety)},
        {"schedule": {"type": "interval", "every": ninety}},
        {"schedule": {"type": "interval", "seconds": ninety}},
    ):
        job = make(**words, timeout=ninety, jitter=0, catch_up_window=ninety)
        assert job.schedule.get("seconds", job.schedule.get("every")) in {
            5_400,
            "90m",
            "1h30m",
        }
    job = make(cron="0 9 * * *", retry=Retry(2, ninety))
    assert job.to_dict()["retry"]["backoff_seconds"] == 5_400
    job.pause(until=ninety)
    assert job.to_dict()["pause"]["until"] is not None


# --- phrases -------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["at", "in_"])
@pytest.mark.parametrize(
    "phrase", ["in 10 minutes", "10 minutes", "1h 30m", "tomorrow 09:00", "fri 17:00"]
)
def test_a_phrase_is_read_by_the_daemon_in_the_zone_of_the_user(word: str, phrase: str) -> None:
    job = make(**{word: phrase}, user="ann")
    assert job.schedule["timezone"] == "Europe/Riga"
    assert " EE" in job.summary  # EET or EEST
    if ":" in phrase:
        assert phrase.rsplit(maxsplit=1)[-1] in job.summary
        assert " UTC, in " in make(**{word: phrase}).summary
        assert " JST" in make(**{word: phrase}, user="ann", timezone="Asia/Tokyo").summary


@pytest.mark.parametrize(
    ("phrase", "nearest"),
    [
        ("03/04", "year-month-day"),
        ("5:00", " 05:00"),
        ("tomorow 9", "tomorrow 09:00"),
        ("friday", "09:00"),
    ],
)
@pytest.mark.parametrize("word", ["at", "in_"])
def test_everything_else_is_refused_with_the_nearest_phrase(
    word: str, phrase: str, nearest: str
) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        make(**{word: phrase})
    assert nearest in refused.value.hint


def test_an_instant_that_is_past_is_refused_unless_the_job_is_kept() -> None:
    with pytest.raises(InvalidSchedule, match="is past"):
        make(at="2025-01-01T09:00:00Z")
    make(name="once", at="in 1 minute", keep=True)
    kept = make(name="once", at="2025-01-01T09:00:00Z", keep=True, if_exists="keep")
    assert kept.name == "once"
    assert kept.active


def test_both_faces_have_the_same_names() -> None:
    for name in sync.__all__:
        assert hasattr(luad, name), name
