"""Writes to what is known of a person: merged as JSON says, one after the other, none lost."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stores import STORES

from luad.core.model import Now
from luad.errors import ConflictError
from luad.store import Store
from luad.store.stored_users import version_of

NOW = 1_795_348_800_000  # 2026-11-22T12:00:00Z


class HandClock:
    def now(self) -> Now:
        return Now(NOW, NOW)


@pytest.fixture(scope="module", params=STORES.values(), ids=STORES.keys())
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with closing(request.param(tmp_path_factory.mktemp("state"), HandClock())) as store:
        yield store


_keys = st.sampled_from(["a", "b", "c", "", "ü", "\0", "\ud800"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(_keys, _values, max_size=3)


def reference(target: Any, patch: Any) -> Any:
    """The pseudo-code of RFC 7396, section 2, line by line."""
    if isinstance(patch, dict):
        if not isinstance(target, dict):
            target = {}
        for name, value in patch.items():
            if value is None:
                if name in target:
                    del target[name]
            else:
                target[name] = reference(target.get(name), value)
        return target
    return patch


@settings(max_examples=60, deadline=None)
@given(
    writes=st.lists(st.tuples(st.sampled_from(["merge", "patch", "replace"]), _objects), max_size=6)
)
def test_each_way_of_writing_does_what_its_name_says(
    store: Store, writes: list[tuple[Any, dict[str, Any]]]
) -> None:
    async def try_it() -> None:
        model: dict[str, Any] = await store.users.write_data("x", {}, "replace", NOW)
        for mode, values in writes:
            tag = version_of(model)
            if mode == "merge":
                model = {**model, **values}
            elif mode == "patch":
                model = reference(copy.deepcopy(model), values)
            else:
                model = values
            assert await store.users.write_data("x", values, mode, NOW, if_match=tag) == model
        data = await store.users.data("x")
        assert data == model
        assert version_of(data) == version_of(model)

    asyncio.run(try_it())


@settings(max_examples=60)
@given(one=_objects, other=_objects)
def test_a_tag_is_that_of_the_content(one: dict[str, Any], other: dict[str, Any]) -> None:
    backwards = dict(reversed(one.items()))
    assert version_of(one) == version_of(backwards), "the order of keys is nothing"
    if one != other:
        assert version_of(one) != version_of(other)


async def test_of_writers_with_one_tag_one_wins(store: Store) -> None:
    await store.users.write_data("race", {}, "replace", NOW)
    tag = version_of({})
    results = await asyncio.gather(
        *(
            store.users.write_data("race", {"winner": n}, "merge", NOW, if_match=tag)
            for n in range(20)
        ),
        return_exceptions=True,
    )
    won = [each for each in results if not isinstance(each, BaseException)]
    assert [await store.users.data("race")] == won
    lost = [each for each in results if isinstance(each, ConflictError)]
    assert len(lost) == 19
    assert {each.code for each in lost} == {"precondition_failed"}


async def test_a_write_that_is_refused_spoils_none_beside_it(store: Store) -> None:
    wrong = version_of({"never": "so"})
    results = await asyncio.gather(
        *(
            store.users.write_data(
                "mixed", {f"k{n}": n}, "merge", NOW, if_match=wrong if n % 3 == 0 else None
            )
            for n in range(30)
        ),
        return_exceptions=True,
    )
    refused = [n for n, each in enumerate(results) if isinstance(each, ConflictError)]
    assert refused == list(range(0, 30, 3))
    assert await store.users.data("mixed") == {f"k{n}": n for n in range(30) if n % 3}


async def test_merges_of_many_levels_go_on_while_others_write(store: Store) -> None:
    async def write(lane: int) -> None:
        for number in range(10):
            await store.users.write_data("deep", {"a": {f"{lane}": number}}, "patch", NOW)

    await asyncio.gather(*(write(lane) for lane in range(5)))
    assert await store.users.data("deep") == {"a": {f"{lane}": 9 for lane in range(5)}}
