"""The streams of a run behave like a pipe's, and what is printed is seen at once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest
from support.runner_harness import HANDLERS, Harness

from luad.core.model import EndKind
from luad.runner.capture import Output


async def test_a_stream_of_a_run_answers_as_one_of_a_program_on_a_pipe(runner: Harness) -> None:
    environ = {**os.environ, "PYTHONUTF8": "1"}
    environ.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, str(HANDLERS / "streams.py")]
    piped = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, check=True, env=environ
    )
    assert (await runner.run("streams:look")).result == json.loads(piped.stdout)


@pytest.mark.parametrize(
    ("handler", "messages"),
    [
        ("replaces_by_wrapper", ["wrapped ?"]),
        ("wraps_and_keeps", ["at once", "kept back"]),
        ("detaches", ["detached", "raw"]),
        ("reconfigures", ["\\N{SNOWMAN}", "crlf"]),
        ("writes_lines", ["one", "two", "raw comes first", "three", "four"]),
        ("closes", []),
        ("redirects", ["child", "error"]),
        ("surrogates", ["\\udcff"]),
    ],
)
async def test_what_programs_do_to_their_streams_works_in_a_run(
    runner: Harness, handler: str, messages: list[str]
) -> None:
    finished = await runner.run(f"streams:{handler}")
    assert finished.ending.kind is EndKind.RETURNED, finished.ending
    assert sorted(finished.messages) == sorted(messages)


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        ([".", "."], ".."),
        (["one\n", "two"], "two"),
        (["caf", "é"], "café"),
        (["a", "", "b", "c"], "abc"),
    ],
)
async def test_text_without_a_line_end_is_seen_while_the_run_goes_on(
    runner: Harness, texts: list[str], shown: str
) -> None:
    key = runner.launch("streams:hangs_in_a_line", metadata={"texts": texts})
    await runner.line_of(key, shown)
    assert key not in runner.ended


async def test_lines_of_several_threads_stay_whole(runner: Harness) -> None:
    finished = await runner.run("streams:threads")
    assert len(finished.messages) == 2_000
    assert {message.count("x") for message in finished.messages} == {50}


async def test_lines_of_several_processes_stay_whole(runner: Harness) -> None:
    finished = await runner.run("streams:processes")
    assert finished.result == [0, 0, 0]
    expected = [f"{name} {number}" for name in "abc" for number in range(200)]
    assert sorted(finished.messages) == sorted([*expected, *(f"end of {name}" for name in "abc")])


async def test_print_is_as_python_has_it(runner: Harness) -> None:
    finished = await runner.run("streams:prints_in_odd_ways")
    assert finished.result == "print"
    printed = ["", "a-1-None!", "b c", "d", "e f", "", "TypeError", "TypeError", "AttributeError"]
    assert sorted(finished.messages) == sorted([*printed, "TypeError"])


async def test_a_dot_of_a_python_child_is_seen_while_the_run_goes_on(runner: Harness) -> None:
    key = runner.launch("streams:dots")
    await runner.line_of(key, ".")
    assert key not in runner.ended


async def test_a_job_may_have_its_children_buffer(runner: Harness) -> None:
    seen = (await runner.run("world:look")).result["env"]
    assert seen["PYTHONUNBUFFERED"] == "1"
    seen = (await runner.run("world:look", env=(("PYTHONUNBUFFERED", ""),))).result["env"]
    assert seen["PYTHONUNBUFFERED"] == ""


# --- lines that have not ended -------------------------------------------------------------------


def messages(output: Output) -> list[str]:
    return [line["message"] for line in output.take()]


def test_a_line_is_shown_at_the_second_look_and_its_rest_follows() -> None:
    output = Output(1_000, 100)
    output.feed("stdout", b"..", 1)
    output.show_partial(2)
    assert messages(output) == []
    output.show_partial(3)
    assert messages(output) == [".."]
    assert not output.has_partial
    output.feed("stdout", b"rest\nnext\n", 4)
    assert messages(output) == ["rest", "next"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_end_of_a_line_that_was_shown_is_not_an_empty_line(end: bytes) -> None:
    output = Output(1_000, 100)
    output.feed("stdout", b"..", 1)
    output.show_partial(2)
    output.show_partial(3)
    output.feed("stdout", end + b"\nlast", 4)
    assert messages(output) == ["..", ""]
    assert [line["message"] for line in output.finish(5)] == ["last"]


def test_a_line_that_goes_on_is_not_old_because_another_one_was() -> None:
    output = Output(1_000, 100)
    output.feed("stdout", b"first", 1)
    output.show_partial(2)
    output.feed("stdout", b" line\nsecond", 3)
    output.show_partial(4)
    assert messages(output) == ["first line"]


def test_half_a_character_waits_for_its_other_half() -> None:
    output = Output(1_000, 100)
    output.feed("stdout", "né".encode()[:-1], 1)
    output.show_partial(2)
    output.show_partial(3)
    output.feed("stdout", "é\n".encode()[1:], 4)
    assert messages(output) == ["n", "é"]
