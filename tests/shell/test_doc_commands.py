"""Runs the fenced commands of the README, the tutorial and the how-tos, as a reader would.

Each page has a folder of its own. Its blocks are taken in their order: a block whose first line names a
file is written there, a block of commands is run, and the lines that a console block shows must appear.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages import COMMANDS, PROJECT, TEXTS, Block, blocks

pytestmark = pytest.mark.slow
README, TUTORIAL = PROJECT / "README.md", PROJECT / "docs/tutorial.md"
HOW_TOS = sorted((PROJECT / "docs/how-to").glob("*.md"))
PAGES = [README, TUTORIAL, *HOW_TOS]
IN_A_CHECKOUT = {"README.md", "tutorial.md", "put-luad-to-the-test.md"}
"""The pages whose reader begins in a checkout of luad. The others begin in a new project."""

BESIDE_A_DAEMON = {"send-messages.md"}

MOST_MARKS = 30
ENDLESS = re.compile(r"(luad serve|make run|(\S*/)?luad logs .*-f.*)\n?")
COPIED = ("handlers", "jobs.d", "users.d", "schemas", "tests", "Makefile", "pyproject.toml")
CHANGES = re.compile(
    r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b|\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b|\S*\d\S*"
)


class Reader:
    """A reader with an empty home folder, who works through one page."""

    def __init__(self, home: Path) -> None:
        self.folder = home
        self.home = home
        self.started: list[subprocess.Popen[str]] = []
        self.drains: list[threading.Thread] = []
        # `make test` hands its own variables down, which would reach the page's `make run`.
        is_foreign = re.compile("LUAD_|XDG_RUNTIME_DIR|MAKE|MFLAGS|VENV")
        kept = {key: text for key, text in os.environ.items() if not is_foreign.match(key)}
        path = f"{Path(sys.prefix, 'bin')}:{kept['PATH']}"
        self.env = {**kept, "HOME": str(home), "PATH": path, "PYTHONWARNINGS": ""}

    def follow(self, block: Block) -> None:
        """Write the file of *block*, or run its commands."""
        if block.language not in COMMANDS:
            if block.place:
                path = self.folder / block.place
                path.parent.mkdir(exist_ok=True)
                path.write_text(block.text)
                if self.started:  # the reader is slower than a test: the file is in force by then
                    self.run("luad reload --quiet || true")
        elif block.reason is None and ENDLESS.fullmatch(block.commands):
            self.start(block.commands)
        elif block.reason is None:
            said = self.run(block.commands, block.status)
            for line in block.output:
                assert re.search(pattern_of(line), said), f"{line!r} is not in:\n{said}"

    def run(self, commands: str, status: int = 0) -> str:
        """Run *commands*, and return what they print; the folder is where they end."""
        script = f"trap 'pwd >{self.home}/.folder' EXIT\n{commands}"
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{commands}{done.stdout}"
        self.folder = Path((self.home / ".folder").read_text().strip())
        return done.stdout

    def start(self, command: str) -> None:
        """Start *command*, which does not end by itself; wait until a daemon is ready."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        self.started.append(process)
        if " logs " not in command:  # a daemon
            lines = iter(process.stdout.readline, "")
            assert any("daemon.ready" in line for line in lines), command
        self.drains.append(threading.Thread(target=process.stdout.read))
        self.drains[-1].start()

    def leave(self) -> None:
        """End what was started, the newest first."""
        for process in reversed(self.started):
            os.killpg(process.pid, signal.SIGTERM)
        for thread, process in zip(self.drains, self.started, strict=True):
            thread.join()
            assert process.stdout is not None
            process.stdout.close()
        assert {each.wait() for each in self.started} <= {0, -signal.SIGTERM, 128 + signal.SIGTERM}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    mine = Reader(tmp_path)
    yield mine
    mine.leave()


def in_a_checkout(reader: Reader) -> None:
    """Put the reader into a copy of the checkout, with the project's own environment in it."""
    checkout = reader.home / "checkout"
    checkout.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy2
        copy(PROJECT / name, checkout / name)
    venv = checkout / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(sys.prefix, name))
    (venv / ".installed").touch()
    reader.folder = checkout


def in_a_project(reader: Reader) -> None:
    """Put the reader into a new project."""
    reader.run("luad init ~/shop && cd ~/shop")


def pattern_of(line: str) -> str:
    """Return a pattern of a line that is shown: numbers, ids and dates may be others."""
    words = " ".join("\0" if CHANGES.fullmatch(each) else each for each in line.split())
    return (
        re.escape(words)
        .replace("\0", r"\S+")
        .replace("/home/ann", r"\S+")
        .replace(r"\.\.\.", ".*")
        .replace(r"\ ", r"\s+")
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_the_page_do_what_it_says(page: Path, reader: Reader) -> None:
    found = list(blocks(page))
    if not any(each.language in COMMANDS and each.reason is None for each in found):
        return
    (in_a_checkout if page.name in IN_A_CHECKOUT else in_a_project)(reader)
    if page.name in BESIDE_A_DAEMON:
        reader.start("luad serve")
    for block in found:
        reader.follow(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_block_says_its_language(page: Path) -> None:
    assert {each.language for each in blocks(page)} <= COMMANDS | TEXTS


def test_few_commands_are_not_run() -> None:
    reasons = [each.reason for page in PAGES for each in blocks(page) if each.reason]
    assert len(reasons) <= MOST_MARKS, reasons


def test_a_command_that_fails_and_a_line_that_is_not_shown_are_found(reader: Reader) -> None:
    with pytest.raises(AssertionError):
        reader.follow(Block("sh", "false\n", None, 0))
    with pytest.raises(AssertionError, match="is not in"):
        reader.follow(Block("console", "$ echo in 3 minutes\nin 4 hours\n", None, 0))
    reader.follow(Block("console", "$ echo in 3 minutes\nin 4 minutes\n", None, 0))
