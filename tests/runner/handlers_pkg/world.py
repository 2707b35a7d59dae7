# ruff: noqa: ANN001, ANN201, ARG001, PTH109, PTH110, PTH115, PTH123, PTH208 - handlers as users write them, and worse
"""Handlers that look at, or change, the process they are in."""

import locale
import os
import resource
import signal
import sys
import time


def look(job):
    fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    return {
        "fds": [
            [fd, os.readlink(f"/proc/self/fd/{fd}")]
            for fd in fds
            if os.path.exists(f"/proc/self/fd/{fd}") or fd < 3
        ],
        "env": dict(os.environ),
        "exec_env": open("/proc/self/environ").read().split("\0"),
        "cwd": os.getcwd(),
        "umask": oct(os.umask(0o22)),
        "nice": os.nice(0),
        "sid": os.getsid(0),
        "pid": os.getpid(),
        "pgid": os.getpgid(0),
        "path": sys.path,
        "argv": sys.argv,
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "ignored": [n for n in range(1, 32) if signal.getsignal(n) is signal.SIG_IGN],
        "policy": os.sched_getscheduler(0),
        "comm": open("/proc/self/comm").read().strip(),
        "zone": time.strftime("%Z", time.localtime(0)),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "as": resource.getrlimit(resource.RLIMIT_AS)[0],
    }


def change(job):
    os.chdir("/tmp")
    os.umask(0o777)
    os.environ["LEFT_BEHIND"] = "1"
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    locale.setlocale(locale.LC_ALL, "C")
    os.listdir = None
