"""A slip in the name of a handler is told when the job is made, not when it is due."""

from __future__ import annotations

from pathlib import Path

import pytest

from luad.config.settings import allowed_handlers
from luad.config.settings.allowed_handlers import missing_function, own_modules

WORDS = """
# in_comment
def main(job):
    print("in_text")
    called()
    from crm import inner
try:
    pass
except ValueError as caught:
    pass
for turn in "ab":
    pass
with open("x") as opened:
    pass
first, (second, *third) = 1, (2, 3)
(walrus := 1)
typed: int = 1
match [1, {}]:
    case [taken, {**rest}]:
        pass
"""
BOUND = ("main", "caught", "turn", "opened", "first", "second", "third", "walrus", "typed", "taken")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crm.py").write_text("def follow_up(job): ...\n\nasync def _own(job): ...\n")
    (tmp_path / "open.py").write_text("from crm import *\n")
    (tmp_path / "lazy.py").write_text("def __getattr__(name): ...\n")
    (tmp_path / "made.py").write_text("send = print\n")
    (tmp_path / "words.py").write_text(WORDS)
    (tmp_path / "odd.py").write_text('import sys\nsetattr(sys.modules[__name__], "by_text", 1)\n')
    (tmp_path / "json.py").write_text("def other(job): ...\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("def start(job): ...\n")
    (tmp_path / "pack" / "deep.py").write_text("class Kind:\n    def run(self): ...\n")
    return tmp_path


def test_a_function_that_does_not_stand_in_its_module_is_missing(folder: Path) -> None:
    assert missing_function("crm:folow_up", folder) == ("follow_up",)
    assert missing_function("pack:stop", folder) == ("start",)
    assert missing_function("pack.deep:Kin", folder) == ()


@pytest.mark.parametrize(
    "handler",
    ["crm:follow_up", "made:send", "pack:start", "pack.deep:Kind.run", "open:any", "lazy:any"],
)
def test_what_may_be_there_is_not_called_missing(folder: Path, handler: str) -> None:
    assert missing_function(handler, folder) is None


@pytest.mark.parametrize("name", [*BOUND, "rest", "inner"])
def test_each_way_to_bind_a_name_counts(folder: Path, name: str) -> None:
    assert missing_function(f"words:{name}", folder) is None


@pytest.mark.parametrize("name", ["in_comment", "in_text", "called"])
def test_a_word_that_binds_nothing_is_not_a_function(folder: Path, name: str) -> None:
    assert missing_function(f"words:{name}", folder) == ("main",)


@pytest.mark.parametrize("handler", ["json:dumps", "pack:deep", "odd:by_text"])
def test_a_name_that_the_file_does_not_decide_is_not_called_missing(
    folder: Path, handler: str
) -> None:
    assert missing_function(handler, folder) is None


@pytest.mark.parametrize("handler", ["nowhere:run", "pack.no:run", "word", "crm\0:x", ".:x", ":"])
def test_what_cannot_be_read_is_left_to_the_first_run(folder: Path, handler: str) -> None:
    assert missing_function(handler, folder) is None


def test_a_module_that_was_mended_is_read_again(folder: Path) -> None:
    assert missing_function("crm:later", folder) is not None
    (folder / "crm.py").write_text("def follow_up(job): ...\ndef later(job): ...\n")
    assert missing_function("crm:later", folder) is None


def test_the_file_of_a_handler_that_a_def_binds_is_not_parsed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    written_in = allowed_handlers.written_in
    monkeypatch.setattr(
        allowed_handlers, "written_in", lambda data: parsed.append(data) or written_in(data)
    )
    assert missing_function("crm:follow_up", folder) is None
    assert missing_function("pack.deep:Kind.run", folder) is None
    assert parsed == []
    assert missing_function("made:send", folder) is None
    assert missing_function("made:sent", folder) == ()
    assert len(parsed) == 1, "once for each state of the file"


def test_the_modules_are_files_and_folders_with_names_of_modules(folder: Path) -> None:
    (folder / "notes.txt").write_text("")
    (folder / "not-a-module.py").write_text("")
    assert own_modules(folder) == ["crm", "json", "lazy", "made", "odd", "open", "pack", "words"]
    assert own_modules(folder / "nowhere") == []
