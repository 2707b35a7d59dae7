"""The daemon, its files and its handlers for the tests of what is carried over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - a test's patience is real time
from typing import Any

import luad.sdk.link as sdk_link
from luad.client import Client
from luad.sdk.ask import Ask
from luad.sync import Jobs, NotFound
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

HANDLERS = """
import asyncio
from luad import Jobs, Text, Image, User, current_job
from luad import sync


async def remind(job):
    user = await job.user()
    await user.send(f"Reminder: {job.metadata['message']}")
    return {"reminded": user.id}


async def look(job):
    return {
        "id": job.id, "name": job.name, "metadata": dict(job.metadata), "revision": job.revision,
        "dict": job.to_dict()["name"], "attempt": job.attempt, "user": job.user_id,
    }


def add_one(job):
    job.update_metadata({job.metadata["key"]: job.run_id})
    return True


async def delete_myself(job):
    await job.delete()
    return "ended normally"


async def delete_static(job):
    await job.delete()


async def who(job):
    return (await job.user()).profile.full_name


async def from_metadata(job):
    user = await User.get(job.metadata["user_id"])
    return user.profile.full_name


async def read_only(job):
    try:
        job.metadata["a"] = 2
    except TypeError as error:
        return str(error)


async def write_to_itself(job):
    await job.update_metadata(seen=True, last=None)
    return dict(job.metadata)


def second_time(job):
    if job.attempt < 2:
        raise RuntimeError("not yet")
    return job.attempt


async def start_another(job):
    if job.metadata.get("again"):
        return "the second one"
    run = await job.trigger(metadata={"again": True}, force=True)  # beside this one
    return run.id


async def pause_myself(job):
    await job.pause(reason="enough for today")
    await job.resume()
    await job.pause(reason="enough for ever")


def fail(job):
    raise ValueError("no")


def much(job):
    return "x" * 200_000


def big(job):
    return "x" * 300_000


async def current_user(job):
    user = await User.get()
    await user.update(met=True)
    return [user.id, user.data["met"]]


async def profile_is_frozen(job):
    user = await job.user()
    try:
        user.profile.full_name = "X"
    except AttributeError:
        return "frozen"


async def send_all_forms(job):
    user = await job.user()
    delivery = await user.send([
        Text("one"), Image("https://example.com/a.png", alt="a"),
        {"type": "text", "text": "two"},
        {"type": "image", "imageUrl": "https://example.com/b.png", "altText": "b"},
    ])
    return [bool(delivery), len(delivery)]


async def nothing_arrives(job):
    await (await User.get("nobody-listens")).send("hello")


async def send_everywhere(job):
    delivery = await (await job.user()).send("hello", title="all of them")
    return sorted([each.channel, each.status] for each in delivery)


async def make_child(job):
    child = await Jobs.create(name="child-of-run", handler="rows:look", in_="1h")
    return child.user_id


async def forever(job):
    await asyncio.Event().wait()
"""

STATIC = """
name: from-file
handler: rows:look
schedule: {type: cron, expression: "0 9 * * *", timezone: America/New_York}
metadata: {region: emea, user_id: ann}
"""

FOR_ANN = """
name: for-ann
handler: rows:who
schedule: {type: interval, every: 1h}
user: ann
"""

PEOPLE = """
id: ann
full_name: Ann Example
emails: [ann@example.com]
phones: ["+44 20 7946 0018"]
---
id: nobody-listens
channels:
  - {type: webhook, url: "http://127.0.0.1:9/", allow_private: true, timeout: 2s}
"""


@contextmanager
def carried_daemon(folder: Path) -> Iterator[LiveDaemon]:
    """Serve all that from *folder*; `luad.sync` asks this daemon meanwhile."""
    (folder / "handlers").mkdir()
    (folder / "jobs.d").mkdir()
    (folder / "users.d").mkdir()
    (folder / "handlers" / "rows.py").write_text(HANDLERS)
    (folder / "jobs.d" / "from-file.yaml").write_text(STATIC)
    (folder / "jobs.d" / "for-ann.yaml").write_text(FOR_ANN)
    (folder / "users.d" / "people.yaml").write_text(PEOPLE)
    live = ForkedDaemon(folder)
    with live:
        link = sdk_link.ClientLink()
        link._client = Client(live.socket)
        before = sdk_link.set_link(link)
        yield live
        sdk_link.set_link(before)


def ask(method: str, path: str, body: Any = None, **query: Any) -> Any:
    """Ask over HTTP."""
    return sdk_link.get_link().call(Ask(method, path, body, query=query))


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that is about to happen."""
    until = monotonic() + 30
    while not is_so():
        assert monotonic() < until, "it never came"
        sleep(0.02)


def wait_for_run(job: str, number: int = 1) -> dict[str, Any]:
    """Wait until the *number*-th run of *job* has ended."""
    ended: list[dict[str, Any]] = []

    def has_ended() -> bool:
        with suppress(NotFound):
            runs = ask("GET", "/runs", job=job)["runs"]
            ended[:] = [run for run in runs if run["completed_at"] is not None]
        return len(ended) >= number

    wait_until(has_ended)
    return ended[-number]


def once(handler: str, name: str, **words: Any) -> dict[str, Any]:
    """Make a job that is due now, and return its run."""
    Jobs.create(name=name, handler=f"rows:{handler}", in_=0, **{"user": None, **words})
    return wait_for_run(name)


def cli(daemon: LiveDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luad", *words, "--socket", str(daemon.socket)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=daemon.folder, timeout=60
    )
