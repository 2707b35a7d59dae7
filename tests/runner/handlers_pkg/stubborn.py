# ruff: noqa: ANN001, ANN201, ARG001, ASYNC251, BLE001, S110, T201 - handlers as users write them, and worse
"""Handlers that do not want to end, or leave things behind."""

import os
import signal
import subprocess
import sys
import threading
import time


def ignores_term(job):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready")
    while True:
        signal.pause()


def blocks_all_signals(job):
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    print("ready")
    threading.Event().wait()


def swallows_everything(job):
    while True:
        try:
            print("ready")
            signal.pause()
        except BaseException:
            pass


def stops_itself(job):
    print("ready")
    os.kill(os.getpid(), signal.SIGSTOP)


def busy(job):
    print("ready")
    while True:
        pass


async def blocks_its_loop(job):
    print("ready")
    while True:
        time.sleep(1)


async def swallows_cancellation(job):
    import asyncio

    print("ready")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "swallowed"


def leaves_a_helper(job):
    """The helper is in a session of its own and holds our pipes."""
    helper = subprocess.Popen(
        [sys.executable, "-S", "-c", "import signal; signal.pause()"], start_new_session=True
    )
    return helper.pid


def daemonises(job):
    """Double fork: nobody but the subreaper can find the grandchild."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid:
            os.write(write, str(pid).encode())
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
    os.wait()
    grandchild = int(os.read(read, 32))
    print(grandchild)
    if job.metadata.get("stay"):
        threading.Event().wait()
    return grandchild


def fork_bomb(job):
    if os.getuid() == 0:
        os.setresuid(65534, 65534, 65534)  # root has no limit of processes
    print("ready")
    while True:
        try:
            os.fork()
        except BlockingIOError:
            if job.metadata["rests"]:
                signal.pause()
