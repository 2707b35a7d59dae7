"""Which handlers a job that is made at run time may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from luad.config.settings.allowed_handlers import DEFAULT_PATTERNS, is_allowed, refusal_of

CRM = """
import os
import subprocess as tools
from shutil import rmtree
from luad.handlers.shell import run
from luad.handlers import shell
from pack.inner import *
from functools import partial

def follow_up(job): ...

async def later(job): ...

@partial
def decorated(job): ...

class Kind: ...

assigned = lambda job: None
typed: object = follow_up
only_typed: object
one, (two, *three) = 1, (2, 3)
through = shell.run

def _private(job): ...

try:
    from fast import quick
except ImportError:
    def quick(job): ...

if os.environ.get("X"):
    def sometimes(job): ...
else:
    sometimes = None

def replaced(job): ...
from fast import replaced

from fast import restored
def restored(job): ...

def stealer(job):
    global stolen
    from os import system as stolen

def stolen(job): ...

for looped in ():
    pass

globals()["made"] = shell.run

def __getattr__(name): return shell.run
"""


@pytest.fixture
def handlers(tmp_path: Path) -> Path:
    (tmp_path / "crm.py").write_text(CRM)
    (tmp_path / "pack" / "deep").mkdir(parents=True)
    (tmp_path / "pack" / "inner.py").write_text("def f(job): ...\n")
    (tmp_path / "pack" / "deep" / "__init__.py").write_text("def g(job): ...\n")
    (tmp_path / "pack" / "deep.py").write_text("def hidden(job): ...\n")
    (tmp_path / "luad").mkdir()
    for name in ("json", "yaml", "os", "site", "pip"):  # of Python, and of installed packages
        (tmp_path / f"{name}.py").write_text("def run(job): ...\n")
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "__init__.py").write_text("def run(job): ...\n")
    (tmp_path / "broken.py").write_text("def run(job:\n")
    (tmp_path / "large.py").write_text("def run(job): ...\n" + "#" * (1 << 18))
    (tmp_path / "native.abi3.so").write_bytes(b"")
    (tmp_path / "native.py").write_text("def run(job): ...\n")
    (tmp_path / "_inner.py").write_text("def run(job): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ("crm:follow_up", True),
        ("pack.inner:f", True),
        ("luad.handlers.message:send", True),
        ("luad.handlers.http:check", True),
        ("luad.handlers.report:daily", True),
        ("luad.handlers.shell:run", False),
        ("luad.handlers.files:clean", False),
        ("luad.handlers.httpx:f", False),
        ("luad.other:f", False),  # a folder `luad` among the handlers is not luad
        ("os:system", False),
        ("subprocess:run", False),
        ("../crm:f", False),
        ("crm/../../x:f", False),
        ("crm", False),  # an entry point of that name is another thing
        ("", False),
    ],
)
def test_what_is_allowed_by_default(handlers: Path, handler: str, expected: bool) -> None:
    assert is_allowed(handler, DEFAULT_PATTERNS, handlers) is expected


def test_the_settings_may_name_others(handlers: Path) -> None:
    assert is_allowed("luad.handlers.shell:run", ("luad.handlers.shell:run",), handlers)
    assert is_allowed("nightly", ("nightly",), handlers)
    assert not is_allowed("crm:follow_up", ("billing.*",), handlers)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("follow_up", True),
        ("later", True),
        ("decorated", True),
        ("Kind", True),
        ("assigned", True),
        ("typed", True),
        ("one", True),
        ("two", True),
        ("three", True),
        ("through", True),  # an assignment; what it leads to is judged in the process of the run
        ("sometimes", True),
        ("restored", True),
        ("only_typed", False),
        ("run", False),
        ("rmtree", False),
        ("tools", False),
        ("os", False),
        ("shell", False),
        ("f", False),  # by `import *`
        ("_private", False),
        ("__getattr__", False),
        ("__builtins__", False),
        ("quick", False),
        ("replaced", False),
        ("stolen", False),
        ("looped", False),
        ("made", False),
        ("anything", False),
    ],
)
def test_a_module_has_to_bind_the_name_itself(
    handlers: Path, function: str, expected: bool
) -> None:
    assert is_allowed(f"crm:{function}", DEFAULT_PATTERNS, handlers) is expected


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        ("json:run", "standard library"),
        ("os:run", "standard library"),
        ("email:run", "standard library"),
        ("site:run", "standard library"),
        ("yaml:run", "installed package"),
        ("pip:run", "installed package"),
        ("_inner:run", "public names"),
        ("pack.__init__:run", "public names"),
        ("broken:run", "cannot be read"),
        ("large:run", "larger than"),
        ("native:run", "does not have the module"),
        ("nowhere:run", "does not have the module"),
        ("pack.deep:hidden", "does not define"),  # the package wins over the file, as in an import
        ("crm:run", "imports `run`"),
        ("crm:run.func", "public names"),
    ],
)
def test_the_reason_is_told(handlers: Path, handler: str, reason: str) -> None:
    refusal = refusal_of(handler, DEFAULT_PATTERNS, handlers)
    assert refusal is not None
    assert reason in refusal.reason
    # A pattern of its own may name anything.
    assert is_allowed(handler, (*DEFAULT_PATTERNS, handler), handlers)


def test_a_star_after_a_definition_may_bind_it_anew(handlers: Path) -> None:
    (handlers / "late.py").write_text("def run(job): ...\nfrom pack.inner import *\n")
    assert not is_allowed("late:run", DEFAULT_PATTERNS, handlers)
    assert is_allowed("pack.deep:g", DEFAULT_PATTERNS, handlers)


def test_an_edit_is_seen_and_nothing_is_imported(handlers: Path) -> None:
    file = handlers / "acts.py"
    file.write_text("raise SystemExit('imported')\ndef run(job): ...\n")
    assert is_allowed("acts:run", DEFAULT_PATTERNS, handlers)
    file.write_text("from luad.handlers.shell import run\n")
    assert not is_allowed("acts:run", DEFAULT_PATTERNS, handlers)
