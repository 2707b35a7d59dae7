# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ARG001, T201 - handlers as users write them, and worse
"""Handlers that do to their streams what programs and libraries do to a pipe."""

import io
import os
import subprocess
import sys
import threading


def look(job=None):
    """All that can be asked of a stream; the same on a pipe and in a run."""
    asked = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = stream.buffer
        asked[name] = {
            "fileno": stream.fileno(),
            "seekable": [stream.seekable(), buffer.seekable(), buffer.raw.seekable()],
            "readable": [stream.readable(), buffer.readable()],
            "writable": [stream.writable(), buffer.writable()],
            "isatty": stream.isatty(),
            "encoding": stream.encoding.lower().replace("_", "-"),
            "name": [stream.name, buffer.name],
            "mode": [stream.mode, buffer.mode],
            "newlines": stream.newlines,
            "line_buffering": stream.line_buffering,
            "closed": stream.closed,
            "buffer": type(buffer).__name__,
            "raw": type(buffer.raw).__name__,
            "is_text": isinstance(stream, io.TextIOWrapper),
            "is_original": getattr(sys, f"__{name}__") is stream,
            "refuses": [_refusal(stream.tell), _refusal(stream.seek, 0), _refusal(stream.read)],
            "truncate": _refusal(stream.truncate),
        }
    return asked


def _refusal(method, *arguments):
    try:
        method(*arguments)
    except (OSError, ValueError) as error:
        return type(error).__name__
    return ""


def replaces_by_wrapper(job):
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="latin-1", errors="replace")
    print("wrapped \u2603")


def wraps_and_keeps(job):
    """The wrapper is nobody's: only the interpreter would write it out at the end."""
    job.kept = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    job.kept.write("kept back\n")
    print("at once")


def detaches(job):
    binary = sys.stdout.detach()
    sys.stdout = io.TextIOWrapper(binary, encoding="utf-8", write_through=True)
    print("detached", flush=True)
    sys.stderr.detach().write(b"raw\n")


def reconfigures(job):
    sys.stdout.reconfigure(encoding="ascii", errors="namereplace", line_buffering=True)
    print("\u2603")
    sys.stdout.reconfigure(encoding="utf-8", newline="\r\n")
    print("crlf")


def writes_lines(job):
    sys.stdout.writelines(["one\n", "two\n"])
    sys.stdout.buffer.write(b"three\n")
    sys.stdout.buffer.raw.write(b"raw comes first\n")
    print("four", file=sys.__stdout__)


def closes(job):
    sys.stdout.close()
    try:
        print("nowhere")
    except ValueError as error:
        return str(error)


def redirects(job):
    subprocess.run(["echo", "child"], stdout=sys.stdout, check=True)
    subprocess.run(["echo", "error"], stdout=sys.stderr, check=True)


def surrogates(job):
    print("\udcff")


def hangs_in_a_line(job):
    for text in job.metadata["texts"]:
        sys.stdout.write(text)
    threading.Event().wait()


def threads(job):
    def say(name):
        for number in range(500):
            print(name, number, "x" * 50)

    workers = [threading.Thread(target=say, args=(name,)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def processes(job):
    pids = []
    for name in "abc":
        if (pid := os.fork()) == 0:
            for number in range(200):
                print(name, number)
            sys.stdout.write(f"end of {name}\n")
            os._exit(0)
        pids.append(pid)
    return [os.waitpid(pid, 0)[1] for pid in pids]


def prints_in_odd_ways(job):
    print()
    print("a", 1, None, sep="-", end="!\n")
    print("b", "c", sep=None, end=None, flush=True)
    print("d", file=sys.stderr)
    text = io.StringIO()
    print("e", "f", file=text)
    print(text.getvalue(), end="")
    print(*[], sep="x")
    for wrong in ({"sep": 1}, {"end": 2}, {"file": 3}, {"unknown": 4}):
        try:
            print("g", **wrong)
        except (TypeError, AttributeError) as error:
            print(type(error).__name__)
    return print.__name__


def dots(job):
    child = "import sys, threading\nprint('.', end='')\nthreading.Event().wait()"
    subprocess.run([sys.executable, "-c", child], check=True)


if __name__ == "__main__":
    import json

    sys.stdout.write(json.dumps(look()))
