# ruff: noqa: ANN001, ANN201, ANN204, ARG001, N818, PTH123, T201 - handlers as users write them, and worse
"""Handlers that end in every way there is."""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys


class Awkward(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")


class NotAnException(BaseException):
    pass


def leaves_ten_thousand(job):
    """As many processes that have ended, and a parent that ends without having asked for any of them."""
    script = (
        "import os\nfor _ in range(10_000):\n    os.fork() or os._exit(7)\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-ISc", script], check=False)
    raise SystemExit(5)


def raises(job):
    inner(job)


def inner(job):
    secret = job.metadata.get("n", 0)
    raise ValueError(f"bad value {secret}")


def raises_base(job):
    raise NotAnException("odd")


def raises_awkward(job):
    raise Awkward


def raises_huge(job):
    raise ValueError("x" * 10_000_000)


def raises_recursive(job):
    things = []
    things.append(things)
    raise ValueError(things)


def recurses(job):
    return recurses(job)


def raises_chained(job):
    try:
        inner(job)
    except ValueError as error:
        raise KeyError("outer") from error


def raises_group(job):
    raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])


def raises_depth(job):
    error = ValueError("deep inside")
    for _ in range(5_000):
        error = ExceptionGroup("around", [error])
    raise error


def raises_notes(job):
    error = ValueError("noted")
    for _ in range(10_000):
        error.add_note("x" * 1_000)
    raise error


class NoAnswers(type):
    def __getattribute__(cls, name):
        raise SystemExit(0)


class Hostile(Exception, metaclass=NoAnswers):
    pass


def raises_hostile(job):
    raise Hostile("who asks")


def raises_name(job):
    raise type("Ev" + "i" * 1_000_000 + "l", (Exception,), {})


def exits(job):
    how = job.metadata["how"]
    if how == "quit":
        quit()  # noqa: PLR1722 - the builtin is meant
    sys.exit(how)


def hard_exit(job):
    os._exit(7)


def segfault(job):
    ctypes.string_at(0)


def abort(job):
    os.abort()


def kills_itself(job):
    os.kill(os.getpid(), job.metadata["signal"])


def kills_its_group(job):
    os.kill(0, signal.SIGKILL)


def ancestors(count):
    """Return the processes above this one, the nearest first."""
    found = [os.getppid()]
    while len(found) < count:
        with open(f"/proc/{found[-1]}/stat") as file:
            found.append(int(file.read().rpartition(")")[2].split()[1]))
    return found


def kills_its_parent(job):
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


def kills_its_keeper(job):
    os.kill(ancestors(2)[1], signal.SIGKILL)
    signal.pause()


def stops_its_keeper(job):
    os.kill(ancestors(2)[1], signal.SIGSTOP)
    print("not seen")
    signal.pause()


def stops_its_parent(job):
    os.kill(os.getppid(), signal.SIGSTOP)
    print("not seen")
    signal.pause()


def kills_the_spawner(job):
    _forker, _keeper, spawner = ancestors(3)
    os.kill(spawner, signal.SIGKILL)
    return "survived"


def leaks(job):
    hoard = []
    while True:
        hoard.append(bytearray(10_000_000))


def burns_processor_time(job):
    while True:
        pass


def returns_a_set(job):
    return {"rows": [1, {2}]}


def returns_nan(job):
    return [float("nan")]


def returns_itself(job):
    things = []
    things.append(things)
    return things


def returns_depth(job):
    value = []
    for _ in range(200):
        value = [value]
    return value


def returns_many_digits(job):
    sys.set_int_max_str_digits(0)
    return 10**5_000


def returns_much(job):
    return "é" * 200_000


def returns_surrogates(job):
    return "a\udc80b"


def open_files_limit(job):
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def forks_and_comes_back(job):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return "parent" if pid else "child"


def forges_messages(job):
    for packet in (
        b"",
        b"O",
        b"O[1]",
        b'O{"kind": 1, "failure": 3}',
        b"L{}",
        b'L{"ts": "x"}',
        b"R\xff",
    ):
        if packet:
            os.write(3, packet)
    return "said"


def forges_depth(job):
    deep = b"[" * 900 + b"]" * 900
    os.write(3, b'L{"ts": 1, "level": "info", "logger": "x", "message": "x", "extras": %s}' % deep)
    os.write(3, b"R" + deep)
    os.write(3, b'O{"kind": "returned", "has_result": true}')
    os._exit(0)


def says_deadline(job):
    return job.to_dict()["deadline"]


def closes_all_and_returns(job):
    os.closerange(0, 300)
    return "closed"


def forges(job):
    told = {"kind": "returned", "has_result": True, "result_omitted": ""}
    os.write(3, b"R" + b'"forged"')
    os.write(3, b"O" + json.dumps(told).encode())
    how = job.metadata["then"]
    if how == "raise":
        raise ValueError("mine")
    if how == "exit":
        os._exit(4)
    if how == "kill":
        os.kill(os.getpid(), 9)
    return "true"
