"""Handlers that configure logging."""

import logging
import sys

from luad.sync import Job


def quiet(job: Job) -> None:
    assert job.run_id
    logging.getLogger("mine").debug("debug")
    logging.getLogger("mine").info("info")
    logging.getLogger("mine").warning("warning")


def verbose_and_formatted(job: Job) -> None:
    logging.basicConfig(level=logging.DEBUG, format="[%(levelname)s] %(message)s")
    logging.basicConfig(level=logging.ERROR)  # a second call changes nothing, as always
    quiet(job)


def level_only(job: Job) -> None:
    logging.basicConfig(level="DEBUG")
    quiet(job)


def to_stdout_and_a_file(job: Job) -> None:
    path = job.metadata["file"]
    logging.basicConfig(
        handlers=[logging.StreamHandler(sys.stdout), logging.FileHandler(path)], level="INFO"
    )
    quiet(job)


def by_force(job: Job) -> None:
    logging.basicConfig(level="ERROR")
    logging.basicConfig(level="WARNING", stream=sys.stdout, force=True)
    quiet(job)


def an_exception(job: Job) -> None:
    logging.basicConfig(format="%(message)s (%(name)s)")
    try:
        job.metadata["missing"]
    except KeyError:
        logging.getLogger("mine").exception("caught")


def wrong(job: Job) -> None:
    assert job.run_id
    logging.basicConfig(no_such_argument=1)
