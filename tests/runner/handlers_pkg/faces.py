# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN202, ANN204, ANN205, ANN206, PLW0108, RUF006, SIM105 - handlers as users write them, and worse
"""Handlers that use their job in every way in which one can be called."""

import asyncio
import functools
import sys
import types

import luad


def plain(job):
    job.update_metadata(n=1)


async def coroutine(job):
    await job.update_metadata(n=1)


def returns_a_coroutine(job):
    return coroutine(job)


a_lambda = lambda job: coroutine(job)  # noqa: E731 - the point of it
blocking_lambda = lambda job: job.update_metadata(n=1)  # noqa: E731 - the same


class Callable:
    def __call__(self, job):
        job.update_metadata(n=1)

    def method(self, job):
        job.update_metadata(n=1)

    async def async_method(self, job):
        await job.update_metadata(n=1)

    @classmethod
    async def of_class(cls, job):
        await job.update_metadata(n=1)

    @staticmethod
    async def of_nobody(job):
        await job.update_metadata(n=1)


class AsyncCallable:
    async def __call__(self, job):
        await job.update_metadata(n=1)


an_object = Callable()
method = an_object.method
async_method = an_object.async_method
of_class = Callable.of_class
of_nobody = Callable.of_nobody
an_async_object = AsyncCallable()
a_static_method = staticmethod(coroutine)


async def two(job, more):
    await job.update_metadata(n=more)


a_partial = functools.partial(two, more=1)
a_partial_of_an_object = functools.partial(an_async_object)
a_partial_of_a_partial = functools.partial(functools.partial(two), more=1)
cached = functools.lru_cache(coroutine)


def bare(function):
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def wrapping(function):
    @functools.wraps(function)
    def inner(job):
        return function(job)

    return inner


def runs_it(function):
    @functools.wraps(function)
    def inner(job):
        return asyncio.run(function(job))

    return inner


def in_a_thread(function):
    @functools.wraps(function)
    async def inner(job):
        return await asyncio.to_thread(function, job)

    return inner


def says_so_first(function):
    @functools.wraps(function)
    def inner(job):
        job.update_metadata(n=1)
        return function(job)

    return inner


async def nothing(job):
    del job


bare_async = bare(coroutine)
bare_plain = bare(plain)
bare_partial = bare(a_partial)
wrapped = wrapping(coroutine)
wrapped_twice = bare(wrapping(coroutine))
run_inside = runs_it(coroutine)
plain_in_a_thread = in_a_thread(plain)
plain_before_async = says_so_first(nothing)


def runs_one_call(job):
    asyncio.run(job.update_metadata(n=1))


def runs_a_main(job):
    async def main():
        await asyncio.gather(job.update_metadata(n=1))

    asyncio.run(main())


@types.coroutine
def old_coroutine(job):
    yield from coroutine(job).__await__()


async def gathers(job):
    await asyncio.gather(*map(job.update_metadata, [{"n": 1}]))


async def takes_a_task(job):
    tasks = []
    tasks.extend(map(job.update_metadata, [{"n": 1}]))
    await asyncio.create_task(tasks[0])


async def waits_for_it(job):
    await asyncio.wait_for(job.update_metadata(n=1), 5)


# --- values that are awaited or not ------------------------------------------------------------


def uses_values(job):
    assert [run.id for run in job.runs()] == ["run_1"]
    assert job.trigger().id == "run_1"
    assert job.user().profile.full_name == "Ann"
    assert job.user().send("hello").ok
    assert not job.user().update(a=1)
    assert job.refresh() is job
    return "used"


def awaits_values(job):
    return awaited(job)


async def awaited(job):
    assert [run.id for run in await job.runs()] == ["run_1"]
    assert (await job.trigger()).id == "run_1"
    user = await job.user()
    assert user.profile.full_name == "Ann"
    assert (await user.send("hello")).ok
    assert await user.update(a=1) is None
    assert (await job.refresh()) is job
    assert isinstance(job, luad.Job)
    return "used"


# --- work that is not done -----------------------------------------------------------------------


async def forgets(job):
    job.update_metadata(n=1)


async def forgets_and_keeps(job):
    kept = job.update_metadata(n=1)
    return str(kept)


async def forgets_in_a_list(job):
    _ = [job.update_metadata(n=each) for each in range(3)]


async def forgets_a_user(job):
    user = await job.user()
    user.send("hello")


async def forgets_and_swallows(job):
    try:
        job.update_metadata(n=1)
    except Exception:  # noqa: BLE001, S110 - the point of it
        pass


async def forgets_and_exits(job):
    kept = job.update_metadata(n=1)
    sys.exit(0 if kept is not None else 1)


async def leaves_a_task(job):
    asyncio.create_task(job.update_metadata(n=1))  # it begins, and asyncio waits for its thread


async def asks_a_coroutine(job):
    return luad.Jobs.get("other").name + job.name


async def judges_a_coroutine(job):
    return "yes" if luad.User.get("ann") else job.name


def creates_without_await(job):
    luad.Jobs.create(handler="faces:plain", in_=60, name=job.name)


def keeps_without_await(job):
    made = luad.Jobs.create(handler="faces:plain", in_=60, name=job.name)
    return made is not None


async def returns_a_coroutine_twice(job):
    return coroutine(job)


def generator(job):
    yield job.update_metadata(n=1)


async def async_generator(job):
    yield await job.update_metadata(n=1)


class GeneratorObject:
    def __call__(self, job):
        yield job.update_metadata(n=1)


a_generator_object = GeneratorObject()
a_partial_generator = functools.partial(generator)
bare_generator = bare(generator)
bare_async_generator = bare(async_generator)


def generator_expression(job):
    job.update_metadata(n=1)
    return (each for each in "ab")


async def closes_on_purpose(job):
    kept = job.update_metadata(n=1)
    kept.close()
