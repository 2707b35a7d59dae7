# ruff: noqa: ANN001, ANN003, ANN201, ANN202, ARG001, T201 - handlers as users write them, and worse
"""Handlers that leave work behind, and some that kill the process that looks after them."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

from ends import ancestors


def _sleeper(**options):
    return subprocess.Popen(["sleep", "300"], **options).pid


def _in_session(job):
    return _sleeper()


def _out_of_session(job):
    return _sleeper(start_new_session=True)


def _without_environment(job):
    return _sleeper(start_new_session=True, env={})


def _forked_twice(job):
    """A fork of the handler that runs no other program has no environment of its own to show."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write, str(os.getpid()).encode())
            threading.Event().wait()
        os._exit(0)
    os.wait()
    return int(os.read(read, 32))


def _hopping(job):
    """A process that is another one every moment; the first of them, which has gone soon."""
    script = "import os, time\nwhile True:\n    time.sleep(0.002)\n    os.fork() and os._exit(0)"
    command = [sys.executable, "-ISc", script]
    return subprocess.Popen(command, start_new_session=True, env={"HOPPER": job.run_id}).pid


_KINDS = {
    "in_session": _in_session,
    "out_of_session": _out_of_session,
    "without_environment": _without_environment,
    "forked_twice": _forked_twice,
    "hopping": _hopping,
}


def kills_its_keeper(job):
    for kind in job.metadata["kinds"]:
        print(_KINDS[kind](job), flush=True)
    print("ready", flush=True)
    forker, keeper, spawner = ancestors(3)
    sys.stdin.read()
    if job.metadata.get("spawner_too"):
        os.kill(spawner, signal.SIGKILL)
    victim = forker if job.metadata.get("forker") else keeper
    threading.Timer(0.3, os.kill, (victim, signal.SIGKILL)).start()
    signal.pause()


def leaves(job):
    return [_KINDS[kind](job) for kind in job.metadata["kinds"]]


def leaves_a_helper_that_ends_by_itself(job):
    """As multiprocessing's resource tracker does: it ends when its pipe is closed."""
    read, write = os.pipe()
    os.set_inheritable(read, True)
    command = [sys.executable, "-ISc", f"import os; os.read({read}, 1); print('saw the end')"]
    subprocess.Popen(command, close_fds=False)
    os.close(read)
    os.set_inheritable(write, False)
    return write


async def leaves_tasks(job):
    async def later():
        await asyncio.sleep(60)

    async def soon():
        return None

    job.kept = [asyncio.create_task(later(), name="send the mail"), asyncio.create_task(later())]
    job.kept.append(asyncio.create_task(soon()))
    if job.metadata.get("fails"):
        raise ValueError("no")
    return 1


async def awaits_its_tasks(job):
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(asyncio.sleep(0.01))
    return 1
