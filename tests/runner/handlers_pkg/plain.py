# ruff: noqa: ANN001, ANN201, ARG001, T201 - handlers as users write them, and worse
"""Handlers that behave."""

import logging
import os
import threading
from pathlib import Path

from luad.sdk import current_job


def nothing(job):
    return None


def no_argument():
    return "called without"


def metadata(job):
    return job.metadata


def context(job):
    assert current_job() is job
    return job.to_dict()


async def sleeps_a_little(job):
    import asyncio

    await asyncio.sleep(0)
    return {"name": job.name}


def wrapped_async(job):
    return sleeps_a_little(job)


def needs_two(job, user):
    return user


def prints(job):
    print("out 1")
    os.write(2, b"err 1\n")
    print("out 2", end="")


def logs(job):
    job.log.info("with extras", extra={"rows": 3, "where": Path("/x"), "nan": float("nan")})
    logging.getLogger("my.module").warning("from %s", "a library")
    job.log.debug("below the level")
    try:
        1 / 0  # noqa: B018 - the point of it
    except ZeroDivisionError:
        job.log.exception("it broke")
    job.log.info("wrong arguments: %d", "text")
    job.log.info("surrogate \udc80 and \x00 and \x1b[31m")


def logs_deep(job):
    deep = []
    for _ in range(900):
        deep = [deep]
    job.log.info("deep", extra={"deep": deep, "flat": [[1]], "text": "[" * 99})


def waits_to_be_stopped(job):
    print("ready")
    threading.Event().wait()


async def waits_async(job):
    import asyncio

    print("ready")
    try:
        await asyncio.Event().wait()
    finally:
        print("cleaned up", job.cancelled)


def cleans_up(job):
    try:
        print("ready")
        threading.Event().wait()
    finally:
        print("cleaned up", job.cancelled)


def leaves_a_thread(job):
    threading.Thread(target=threading.Event().wait).start()
    return "returned"
