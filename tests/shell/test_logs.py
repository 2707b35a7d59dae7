"""Logs against real pipes, full disks, closed descriptors, and a socket that stands for journald."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import pty
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luad import logs
from luad.errors import UsageError
from luad.logs.sink import BYTES_LIMIT

Start = Callable[..., logs.Logging]


class Pipe:
    """A pipe whose reading end the test holds."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 1 << 18)  # room for what one test says

    def lines(self) -> list[dict[str, Any]]:
        """Everything up to the end; every line has to be one JSON object."""
        os.close(self.writer)
        with os.fdopen(self.reader, encoding="ascii", newline="\n") as stream:
            return [json.loads(line) for line in stream]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[logs.Logging] = []

    def configure(*args: Any, **kwargs: Any) -> logs.Logging:
        running.append(logs.configure(*args, environ=kwargs.pop("environ", {}), **kwargs))
        return running[-1]

    yield configure
    for each in running:
        each.close()


def say(start: Start, *events: tuple[str, dict[str, Any]], level: str = "info") -> list[Any]:
    """Return the text that these events write to a pipe."""
    pipe = Pipe()
    handle = start("json", level, descriptor=pipe.writer)
    for event, fields in events:
        handle.emit("info", event, fields)
    handle.close()
    return pipe.lines()


def test_a_line_is_one_object_with_time_level_and_event_first(start: Start) -> None:
    pipe = Pipe()
    handle = start("json", descriptor=pipe.writer)
    logs.get_logger(job="backup").warning("run.ended", run_id="run_1", duration_ms=1043)
    handle.close()
    (line,) = pipe.lines()
    assert list(line) == ["ts", "level", "event", "job", "run_id", "duration_ms"]
    assert line["level"] == "warning"
    assert line["event"] == "run.ended"
    assert len(line["ts"]) == len("2026-11-22T09:35:00.042Z")
    assert line["ts"].endswith("Z")


@pytest.mark.parametrize(
    "text",
    [
        'two\nlines\r\nand "quotes" \\',
        "\x1b[31mred\x1b[0m\x07\x00",
        "line\u2028separator\x85next",
        "\u202eright to left",
        'a } and {"level": "error"}',
        "Gr\u00fc\u00dfe \U0001f600",
    ],
)
def test_no_text_breaks_out_of_its_line(start: Start, text: str) -> None:
    (line,) = say(start, ("run.output", {"stream": "stdout", "message": text, text: text}))
    assert line["message"] == text
    assert line[text] == text
    assert line["event"] == "run.output"


def test_lone_surrogates_are_spelled_since_most_parsers_refuse_them(start: Start) -> None:
    (line,) = say(start, ("run.output", {"message": "file \udce9.txt"}))
    assert line["message"] == "file \\udce9.txt"


class Hostile:
    """An object that raises whenever it is looked at."""

    def __repr__(self) -> str:
        raise ValueError("never")

    __str__ = __repr__


def looped() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        10**5000,
        {1: {(2, 3): b"bytes"}},
        {Hostile(): 1},
        Hostile(),
        looped(),
        {"a", 1},
        Path("/x"),
        lambda: None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_field_holds_comes_out_as_json(start: Start, value: Any) -> None:
    first, second = say(start, ("a", {"value": value, "other": 1}), ("b", {}))
    assert first["event"] == "a"
    assert first["other"] == 1
    assert first["value"]
    assert second["event"] == "b"


def test_fields_cannot_take_the_place_of_the_lines_own_keys(start: Start) -> None:
    (line,) = say(start, ("a", {"ts": 1, "level": 2, "event": 3, "self": 4}))
    assert line["level"] == "info"
    assert line["event"] == "a"
    assert (line["ts_"], line["level_"], line["event_"], line["self_"]) == (1, 2, 3, 4)


def test_a_field_is_cut_at_16_kib_and_says_by_how_much(start: Start) -> None:
    long, nested, after = say(
        start,
        ("a", {"message": "x" * 100_000}),
        ("b", {"result": {"deep": ["y" * 100_000]}}),
        ("c", {f"field{n}": "z" * 20_000 for n in range(40)}),
    )
    assert long["message"] == "x" * 16384 + "… (83616 more characters)"
    assert len(nested["result"]) < 17_000
    assert len(json.dumps(after)) < 100_000
    assert after["fields_left_out"] > 30


def test_secrets_are_masked_by_value_wherever_they_stand(start: Start) -> None:
    pipe = Pipe()
    handle = start("json", descriptor=pipe.writer)
    handle.redactor.add('pa"ss\nwörd')
    handle.redactor.add("12345678")
    handle.redactor.add("abc")  # too short to be one
    handle.emit("info", "a", {"url": 'https://u:pa"ss\nwörd@host', "abc": "abc"})
    handle.emit("info", "b", {"deep": {'pa"ss\nwörd': [12345678, {"x": "…12345678…"}]}})
    logging.getLogger("lib").warning("token 12345678")
    logs.get_logger().error("c", exc_info=RuntimeError("12345678"))
    handle.close()
    url, deep, library, error = pipe.lines()
    assert url["url"] == "https://u:***@host"
    assert url["abc"] == "abc"
    assert deep["deep"] == {"***": ["***", {"x": "…***…"}]}
    assert library["message"] == "token ***"
    assert "RuntimeError: ***" in error["exception"]
    assert "12345678" not in json.dumps(error)


def test_a_secret_that_looks_like_an_escape_leaves_the_json_whole(start: Start) -> None:
    pipe = Pipe()
    handle = start("json", descriptor=pipe.writer)
    handle.redactor.add("nabcd")
    handle.redactor.add("u00e9")
    handle.emit("info", "a", {"message": "x\nabcd é nabcd"})
    handle.close()
    assert pipe.lines()[0]["message"] == "x\nabcd é ***"


def test_lines_below_the_level_cost_nothing_and_say_nothing(start: Start) -> None:
    pipe = Pipe()
    handle = start("json", "warning", descriptor=pipe.writer)
    handle.emit("info", "quiet", {})
    handle.emit("error", "loud", {})
    handle.close()
    assert [line["event"] for line in pipe.lines()] == ["loud"]


def test_other_libraries_are_heard_from_warning_on(start: Start) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    pipe = Pipe()
    handle = start("json", descriptor=pipe.writer)
    logging.getLogger("some.library").info("not this")
    logging.getLogger("some.library").warning("port %d\nis taken", 80)
    logging.getLogger("another").warning("%d", "wrong arguments")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old function", DeprecationWarning, stacklevel=1)
    handle.close()
    port, wrong, old = pipe.lines()
    assert port["event"] == "library.message"
    assert port["logger"] == "some.library"
    assert port["message"] == "port 80\nis taken"
    assert "wrong arguments" in wrong["message"]
    assert "old function" in old["message"]
    assert root.handlers == before


@pytest.mark.parametrize("form", ["json", "journal", "console"])
def test_only_forms_and_levels_that_exist_are_taken(form: str) -> None:
    with pytest.raises(UsageError, match="no log level"):
        logs.configure(form, "loud")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no log format"):
        logs.configure(f"{form}x")  # type: ignore[arg-type]


def test_off_a_terminal_the_form_is_json_and_on_one_it_is_for_people(start: Start) -> None:
    pipe = Pipe()
    assert start("auto", descriptor=pipe.writer).format == "json"
    os.close(pipe.reader)
    os.close(pipe.writer)
    master, slave = pty.openpty()
    handle = start("auto", descriptor=slave, environ={"NO_COLOR": "1"})
    assert handle.format == "console"
    handle.emit("info", "run.started", {"job": "a b", "esc": "\x1b[2J\nx"})
    assert handle.flush()
    shown = os.read(master, 4096).decode()
    assert shown.endswith('INFO    run.started job="a b" esc="\\u001b[2J\\nx"\r\n')
    colourful = start("auto", descriptor=slave, environ={"TERM": "xterm"})
    colourful.emit("error", "run.output", {"message": "hello \x1b[31m", "job": "x"})
    assert colourful.flush()
    shown = os.read(master, 4096).decode()
    assert "\x1b[31mERROR  \x1b[0m" in shown
    assert "hello \\x1b[31m job=x\r\n" in shown
    os.close(master)
    os.close(slave)


def test_a_full_disk_drops_and_counts(start: Start) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    handle = start("json", descriptor=full)
    os.close(full)
    for number in range(1000):
        handle.emit("info", "a", {"number": number})
    assert handle.flush()
    assert handle.dropped == 1000


def test_a_pipe_nobody_reads_holds_nobody_up_and_the_loss_is_told(start: Start) -> None:
    pipe = Pipe()
    handle = start("json", descriptor=pipe.writer)
    count = 3 * BYTES_LIMIT // 1000
    for number in range(count):
        handle.emit("info", "a", {"number": number, "padding": "x" * 1000})
    assert handle.dropped > 0
    assert not handle.flush(0.01)
    received: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: received.extend(pipe.lines()))
    reader.start()
    assert handle.flush(30)
    handle.close()
    reader.join()
    told = sum(line["count"] for line in received if line["event"] == "log.dropped")
    assert told == handle.dropped
    assert told + sum(line["event"] == "a" for line in received) == count


def test_a_non_blocking_pipe_loses_nothing_and_tears_no_line(start: Start) -> None:
    pipe = Pipe()
    os.set_blocking(pipe.writer, False)
    handle = start("json", descriptor=pipe.writer)
    received: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: received.extend(pipe.lines()))
    for number in range(2000):
        handle.emit("info", "a", {"number": number, "padding": "x" * 500})
    reader.start()
    handle.close(30)
    reader.join()
    assert [line["number"] for line in received] == list(range(2000))
    assert handle.dropped == 0


def test_a_disk_that_has_room_again_gets_the_count_first_and_no_torn_line(tmp_path: Path) -> None:
    # A file size limit is a disk that can be filled and freed at will.
    program = """
        import resource, signal, sys
        from luad import logs
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        handle = logs.configure("json")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        for number in range(50):
            handle.emit("info", "a", {"number": number})
            handle.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        handle.emit("info", "b", {})
        handle.flush()
        handle.close()
        sys.stderr.write(str(handle.dropped))
    """
    path = tmp_path / "log"
    with path.open("w") as stream:
        done = run_python(program, stdout=stream)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[-2] == {**lines[-2], "event": "log.dropped", "count": int(done.stderr)}
    assert lines[-1]["event"] == "b"
    assert len(lines) - 2 + int(done.stderr) == 50


def test_a_descriptor_that_was_never_open_counts_every_line(start: Start) -> None:
    handle = start("json", descriptor=987)
    handle.emit("info", "a", {})
    assert handle.flush()
    assert handle.dropped == 1


def test_a_reader_that_goes_away_kills_nobody(start: Start) -> None:
    pipe = Pipe()
    handle = start("json", descriptor=pipe.writer)
    os.close(pipe.reader)
    handle.emit("info", "a", {})
    assert handle.flush()
    assert handle.dropped == 1
    os.close(pipe.writer)


def test_after_close_lines_are_dropped_quietly(start: Start) -> None:
    pipe = Pipe()
    handle = start("json", descriptor=pipe.writer)
    handle.close()
    handle.emit("info", "late", {})
    assert handle.dropped == 1
    assert pipe.lines() == []


def test_many_threads_share_the_log_without_mixing_lines(start: Start) -> None:
    pipe = Pipe()
    handle = start("json", descriptor=pipe.writer)
    received: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: received.extend(pipe.lines()))

    def speak(thread: int) -> None:
        for number in range(200):
            handle.emit("info", "a", {"thread": thread, "number": number})

    threads = [threading.Thread(target=speak, args=(each,)) for each in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    reader.start()
    handle.close(30)
    reader.join()
    for thread in range(4):
        numbers = [line["number"] for line in received if line["thread"] == thread]
        assert numbers == list(range(200))


# --- the journal -------------------------------------------------------------------------------


class Journal:
    """Stands where journald would, and reads its native protocol."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(5)

    def close(self) -> None:
        self.socket.close()
        self.path.unlink()

    def entry(self) -> dict[str, str]:
        data, descriptors, _flags, _address = socket.recv_fds(self.socket, 1 << 20, 1)
        for descriptor in descriptors:
            with os.fdopen(descriptor, "rb") as file:
                file.seek(0)
                data += file.read()
        entry = {}
        while data:
            line, data = data.split(b"\n", 1)
            name, equals, value = line.partition(b"=")
            if not equals:
                (size,) = struct.unpack("<Q", data[:8])
                value, data = data[8 : 8 + size], data[9 + size :]
            entry[name.decode()] = value.decode()
        return entry


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.socket.close()


def test_the_journal_gets_fields_of_its_own(start: Start, journal: Journal) -> None:
    handle = start("journal", journal_socket=str(journal.path))
    assert handle.format == "journal"
    handle.emit("warning", "run.ended", {"job": "backup", "run_id": "run_1", "took": {"ms": 3}})
    entry = journal.entry()
    assert entry["MESSAGE"] == 'run.ended job=backup run_id=run_1 took={"ms":3}'
    assert entry["PRIORITY"] == "4"
    assert entry["SYSLOG_IDENTIFIER"] == "luad"
    assert entry["LUAD_EVENT"] == "run.ended"
    assert entry["LUAD_JOB"] == "backup"
    assert entry["LUAD_RUN"] == "run_1"
    assert entry["LUAD_TOOK"] == '{"ms":3}'
    assert entry["MESSAGE_ID"] == "8075c8e392eb5ad585119dbf961917e0"  # the same for ever
    assert entry["CODE_FILE"] == __file__
    assert entry["CODE_FUNC"] == "test_the_journal_gets_fields_of_its_own"
    assert int(entry["CODE_LINE"]) > 0


def test_output_of_handlers_stands_for_itself_in_the_journal(
    start: Start, journal: Journal
) -> None:
    handle = start("journal", journal_socket=str(journal.path))
    fields = {"job": "x", "run_id": "run_1", "stream": "stderr", "message": "a\nPRIORITY=0\x1b[0m"}
    handle.emit("info", "run.output", fields)
    entry = journal.entry()
    assert entry["MESSAGE"] == "a\\nPRIORITY=0\\x1b[0m"
    assert entry["PRIORITY"] == "6"
    assert entry["LUAD_MESSAGE"] == "a\nPRIORITY=0\x1b[0m"
    assert entry["LUAD_STREAM"] == "stderr"


def test_a_large_entry_travels_as_a_sealed_file(start: Start, journal: Journal) -> None:
    handle = start("journal", journal_socket=str(journal.path))
    handle._queue._sink._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # type: ignore[attr-defined]
    handle.emit("info", "a", {f"field{n}": "x" * 10_000 for n in range(5)})
    entry = journal.entry()
    assert entry["LUAD_FIELD4"] == "x" * 10_000
    assert handle.dropped == 0


def test_a_journal_that_goes_away_and_comes_back_is_told_what_it_missed(
    start: Start, journal: Journal
) -> None:
    handle = start("journal", journal_socket=str(journal.path))
    handle.emit("info", "before", {})
    assert journal.entry()["LUAD_EVENT"] == "before"
    journal.close()
    for _ in range(3):
        handle.emit("info", "lost", {})
    assert handle.flush()
    assert handle.dropped == 3
    journal.open()
    handle.emit("info", "after", {})
    entry = journal.entry()
    assert entry["LUAD_EVENT"] == "log.dropped"
    assert entry["LUAD_COUNT"] == "3"
    assert journal.entry()["LUAD_EVENT"] == "after"


def test_the_journal_is_chosen_only_when_stderr_is_its_stream(tmp_path: Path) -> None:
    stream, other = socket.socketpair()
    program = """
        import os, sys
        from luad import logs
        status = os.fstat(2)
        here = f"{status.st_dev}:{status.st_ino}"
        answers = [
            logs.configure(environ={"JOURNAL_STREAM": text}, journal_socket=sys.argv[1]).format
            for text in (here, "1:1", "")
        ]
        print(*answers)
    """
    journal = Journal(tmp_path / "journal")
    done = run_python(program, str(journal.path), stderr=stream)
    assert done.stdout.split() == ["journal", "json", "json"]
    journal.close()
    done = run_python(program, str(journal.path), stderr=stream)
    assert done.stdout.split() == ["json", "json", "json"]
    stream.close()
    other.close()


def test_asking_for_a_journal_that_is_not_there_gives_json_and_says_so(start: Start) -> None:
    pipe = Pipe()
    handle = start("journal", descriptor=pipe.writer, journal_socket="/nonexistent")
    handle.close()
    (line,) = pipe.lines()
    assert (line["event"], line["wanted"], line["used"]) == ("log.fallback", "journal", "json")


def run_python(program: str, *args: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
    command = [sys.executable, "-c", textwrap.dedent(program), *args]
    done = subprocess.run(command, check=False, text=True, timeout=60, **settings)
    assert done.returncode == 0, done.stderr
    return done
