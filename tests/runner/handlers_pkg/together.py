# ruff: noqa: ANN001, ANN201, ANN202, ARG001, BLE001, PTH109, T201 - handlers as users write them, and worse
"""Handlers for shared processes."""

import asyncio
import contextvars
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading

import luad
from luad.sdk import current_job
from luad.sync import Jobs

GATES = {}
KEPT = contextvars.ContextVar("kept", default="nothing")
LOADED = "as loaded"


def gate(name):
    return GATES.setdefault(name, threading.Event())


def where(job):
    return [os.getpid(), threading.current_thread() is threading.main_thread()]


def says(job):
    """Print and log; wait in between for the other runs, so that all are inside at the same time."""
    name = job.metadata["name"]
    print(f"print 1 {name}")
    meeting(job).wait(20)
    print(f"print 2 {name}")
    logging.getLogger("lib").warning("log %s", name)
    current_job().log.error("own log %s", name)
    sys.stderr.write(f"err {name}\n")


_BARRIERS = {}
_LOCK = threading.Lock()


def meeting(job):
    with _LOCK:
        return _BARRIERS.setdefault(
            job.metadata["meeting"], threading.Barrier(job.metadata["count"])
        )


async def says_async(job):
    name = job.metadata["name"]
    print(f"print 1 {name}")
    waiting = _BARRIERS.setdefault(job.metadata["meeting"], {"n": 0, "go": asyncio.Event()})
    waiting["n"] += 1
    if waiting["n"] == job.metadata["count"]:
        waiting["go"].set()
    await waiting["go"].wait()
    print(f"print 2 {name}")
    logging.getLogger("lib").warning("log %s", name)
    current_job().log.error("own log %s", name)
    await asyncio.to_thread(print, f"thread {name}")
    async with asyncio.TaskGroup() as group:
        group.create_task(say_in_task(name))


async def say_in_task(name):
    sys.stderr.write(f"err {name}\n")
    assert current_job().metadata["name"] == name


def keeps(job):
    before = KEPT.get()
    KEPT.set(job.run_id)
    return before


async def waits(job):
    print("ready")
    await asyncio.Event().wait()


def waits_softly(job):
    print("ready")
    while True:
        threading.Event().wait(0.01)


def waits_hard(job):
    print("ready")
    threading.Event().wait()


def opens(job):
    gate(job.metadata["gate"]).set()


def passes(job):
    print("ready")
    gate(job.metadata["gate"]).wait()
    return "passed"


def exits(job):
    sys.exit(3)


async def exits_async(job):
    sys.exit(4)


async def exits_in_task(job):
    async def leave():
        sys.exit(5)

    task = asyncio.create_task(leave())
    try:
        await task
    except BaseException as error:
        return type(error).__name__


def exits_hard(job):
    os._exit(9)


def segfaults(job):
    ctypes.string_at(0)


def kills(job):
    os.kill(os.getpid(), signal.SIGKILL)


def moves(job):
    os.chdir("/")


def folder(job):
    return os.getcwd()


def takes_signal(job):
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except ValueError as error:
        return str(error)


def writes_around(job):
    os.write(1, b"from C\n")
    subprocess.run(["sh", "-c", "echo from a child; sleep 0"], check=True)
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()


def leaves_thread(job):
    threading.Thread(target=gate("forever").wait, name="left-behind", daemon=True).start()


async def leaves_task(job):
    job.kept = asyncio.create_task(asyncio.sleep(600), name="send the mail")


def leaves_child(job):
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    print(child.pid)
    return child.pid


async def blocks(job):
    print("ready")
    gate(job.metadata["gate"]).wait()


def variables(job):
    return sorted(name for name in os.environ if name.startswith("LUAD_"))


def forgets_await(job):
    luad.Jobs.get("x")


async def forgets(job):
    kept = [luad.Jobs.get("x")]
    await asyncio.sleep(0)
    return len(kept)


def asks(job):
    return Jobs.get("x")


def debugs(job):
    logging.getLogger("lib").debug("a detail")
    logging.getLogger("lib").info("a note")


def forks(job):
    if os.fork() == 0:
        print("in the child", flush=True)
        return None
    os.wait()
    print("in the parent")
    return "parent"


def holds_everything(job):
    """Keep the interpreter's lock for ever."""
    print("ready")
    gate(job.metadata["gate"]).wait()
    ctypes.PyDLL(None).pause()


def writes(job):
    descriptor = os.open(job.metadata["out"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{job.run_id}\n".encode())
    os.close(descriptor)
    threading.Event().wait(0.01)


def loaded(job):
    return LOADED
