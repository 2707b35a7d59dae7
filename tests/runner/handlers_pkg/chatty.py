# ruff: noqa: ANN001, ANN201, ARG001, PTH123, T201 - handlers as users write them, and worse
"""Handlers that say a lot, or say it strangely."""

import os
import sys


def hundred_megabytes(job):
    line = b"x" * 99 + b"\n"
    block = line * 10_000
    print("first line")
    for _ in range(100):
        sys.stdout.buffer.write(block)
    sys.stdout.flush()
    print("last line")


def most_of_its_keeper(job):
    """The most memory in KiB that the keeper had, once it has been told a lot."""
    hundred_megabytes(job)
    with open(f"/proc/{os.getppid()}/stat") as file:
        keeper = int(file.read().rpartition(")")[2].split()[1])
    with open(f"/proc/{keeper}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def million_lines(job):
    for number in range(1_000_000):
        os.write(1, b"%d\n" % number) if number % 1000 == 0 else sys.stdout.buffer.write(
            b"%d\n" % number
        )


def no_newline(job):
    sys.stdout.write("é" * 100_000)


def strange_bytes(job):
    os.write(1, b"\xff\xfe invalid\n")
    os.write(1, b"nul \x00 here\n")
    os.write(1, b"\x1b[31mred\x1b[0m\n")
    os.write(1, b"windows\r\n")
    os.write(1, 'line\u2028separator }"\n'.encode())
    os.write(1, b"\n")


def many_records(job):
    for number in range(5_000):
        job.log.info("record %d %s", number, "y" * 200)


def closes_its_streams(job):
    os.close(1)
    os.close(2)
    return "quiet"


def closes_everything(job):
    os.closerange(0, 256)
    with (
        open(job.metadata["file"], "w") as one,
        open(job.metadata["file"] + "2", "w") as two,
        open(job.metadata["file"] + "3", "w") as three,
        open(job.metadata["file"] + "4", "w") as four,
    ):
        job.log.info("this must not land in a file of the handler")
        for file in (one, two, three, four):
            file.write(str(file.fileno()))


def reads_stdin(job):
    return sys.stdin.read()


def opens_the_terminal(job):
    with open("/dev/tty"):
        pass
