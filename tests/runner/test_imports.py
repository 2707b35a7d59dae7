"""`luad check` asks whether handlers can be called; nothing they do at import reaches it."""

from __future__ import annotations

from pathlib import Path

import pytest

from luad.runner.import_check import HandlerInfo, ImportProblem, check_handlers

GOOD = """\
def cleanup(job): ...

async def sync_mail(job): ...

def with_user(job, user): ...

def with_default(job, retries=3): ...

def anything(*arguments): ...
"""


HAS = "it has `reports:daily`, `reports:weekly`"


def problem(source: str, handler: str, tmp_path: Path, timeout_s: float = 10) -> ImportProblem:
    (tmp_path / "jobs.py").write_text(source)
    checked = check_handlers([handler], handlers_path=[tmp_path], timeout_s=timeout_s)[handler]
    assert isinstance(checked, ImportProblem)
    return checked


def test_good_handlers_say_where_and_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(GOOD)
    names = ["jobs:cleanup", "jobs:sync_mail", "jobs:with_default", "jobs:anything"]
    checked = check_handlers([*names, *names], handlers_path=[tmp_path])
    assert list(checked) == names
    assert checked["jobs:cleanup"] == HandlerInfo(
        "jobs:cleanup", f"{tmp_path}/jobs.py:1", takes_job=True, is_async=False
    )
    assert checked["jobs:sync_mail"] == HandlerInfo(
        "jobs:sync_mail", f"{tmp_path}/jobs.py:3", takes_job=True, is_async=True
    )
    assert all(isinstance(each, HandlerInfo) for each in checked.values())


def test_a_misspelt_function_gets_the_near_one_and_its_place(tmp_path: Path) -> None:
    found = problem(GOOD, "jobs:clenup", tmp_path)
    assert found.code == "LU301"
    assert found.message == "`jobs` has no function `clenup`"
    assert found.help == "did you mean `cleanup`?"
    assert found.place == f"{tmp_path}/jobs.py:1"


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("import os\nimport httpxx\n", "ModuleNotFoundError: No module named 'httpxx'", 2),
        ("x = 1\ndef run(:\n", "SyntaxError: invalid syntax", 2),
        ("def f():\n    1 / 0\nf()\n", "ZeroDivisionError: division by zero", 2),
        ("raise SystemExit(3)\n", "SystemExit: 3", 1),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt", 1),
    ],
)
def test_a_failing_import_names_the_users_line(
    tmp_path: Path, source: str, message: str, line: int
) -> None:
    found = problem(source, "jobs:run", tmp_path)
    assert found.code == "LU302"
    assert found.message == f"importing `jobs` failed: {message}"
    assert found.place == f"{tmp_path}/jobs.py:{line}"
    assert found.source == source.splitlines()[line - 1].strip()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os\nos._exit(5)\n", "the process exits with 5"),
        ("import os\nos.abort()\n", "the process is killed by SIGABRT"),
        ("import os\nos.closerange(0, 100)\n", "the process exits with 1"),
    ],
)
def test_an_import_that_kills_the_process_is_a_problem_of_that_module_alone(
    tmp_path: Path, source: str, words: str
) -> None:
    (tmp_path / "bad.py").write_text(source)
    (tmp_path / "jobs.py").write_text(GOOD)
    handlers = ["bad:one", "bad:two", "jobs:cleanup"]
    checked = check_handlers(handlers, handlers_path=[tmp_path])
    for handler in handlers[:2]:
        found = checked[handler]
        assert isinstance(found, ImportProblem)
        assert (found.code, words in found.message) == ("LU302", True)
    assert isinstance(checked["jobs:cleanup"], HandlerInfo)


def test_other_arguments_than_the_job_are_shown(tmp_path: Path) -> None:
    found = problem(GOOD, "jobs:with_user", tmp_path)
    assert found.code == "LU303"
    assert "takes (job, user); luad passes one argument, job" in found.message
    assert found.place == f"{tmp_path}/jobs.py:5"


@pytest.mark.parametrize("handler", ["jbos:cleanup", "handlers.jobs:cleanup", "jobs.jobs:cleanup"])
def test_a_missing_module_gets_the_near_one(tmp_path: Path, handler: str) -> None:
    found = problem(GOOD, handler, tmp_path)
    assert (found.code, found.help) == ("LU304", "did you mean `jobs`?")


def test_a_wrong_handler_says_nothing_about_others_of_its_module(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text("1 / 0\n")
    handlers = ["jobs", "jobs:cleanup", "jobs:nope", "jobs:sync_mail", "bad", "bad:run"]
    for order in (handlers, handlers[::-1]):
        checked = check_handlers(order, handlers_path=[tmp_path])
        codes = {name: getattr(each, "code", "") for name, each in checked.items()}
        assert codes == {
            "jobs": "LU304",
            "jobs:cleanup": "",
            "jobs:nope": "LU301",
            "jobs:sync_mail": "",
            "bad": "LU304",
            "bad:run": "LU302",
        }


@pytest.mark.parametrize(
    ("handler", "help_text"),
    [
        ("reports.daily", "write  handler: reports:daily"),
        ("reports.dialy", "write  handler: reports:daily"),
        ("reports.other", "write  handler: reports:other"),
        ("hello", "write  handler: hello:run"),
        ("shop.orders", "write  handler: shop.orders:close"),
        ("shop.orders.close", "write  handler: shop.orders:close"),
        ("helo", "did you mean `hello:run`?"),
        ("report.daily", "did you mean `reports:daily`?"),
        ("zzz", "write package.module:function"),
        (
            "reports",
            f"`reports` is a module; write  handler: reports:FUNCTION; {HAS}",
        ),
    ],
)
def test_a_name_without_a_colon_is_written_with_one(
    tmp_path: Path, handler: str, help_text: str
) -> None:
    (tmp_path / "hello.py").write_text("def run(job): ...\n")
    (tmp_path / "reports.py").write_text(
        "def daily(job): ...\ndef weekly(job): ...\ndef _x(): ...\n"
    )
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.py").write_text("async def close(job): ...\n")
    found = check_handlers([handler], handlers_path=[tmp_path])[handler]
    assert isinstance(found, ImportProblem)
    assert (found.code, found.help) == ("LU304", help_text)


def test_a_missing_function_is_not_told_the_private_ones(tmp_path: Path) -> None:
    source = "def _url(): ...\ndef _expected(): ...\ndef check(job): ...\n"
    assert problem(source, "jobs:zzz", tmp_path).help == "it has `check`"
    assert problem(source, "jobs:url", tmp_path).help == "it has `check`"
    assert problem("def _url(): ...\n", "jobs:zzz", tmp_path).help == "it has no functions at all"


def test_a_module_unlike_any_other_says_where_was_looked(tmp_path: Path) -> None:
    found = problem(GOOD, "zzz:cleanup", tmp_path)
    assert (found.code, str(tmp_path) in found.help) == ("LU304", True)


def test_an_import_that_hangs_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "jobs.py").write_text("import threading\nthreading.Event().wait()\n")
    handlers = ["jobs:run", "good:cleanup"]
    checked = check_handlers(handlers, handlers_path=[tmp_path], timeout_s=3)
    found = checked["jobs:run"]
    assert isinstance(found, ImportProblem)
    assert (found.code, found.message) == ("LU305", "importing `jobs` takes longer than 3 s")
    assert isinstance(checked["good:cleanup"], HandlerInfo)


def test_what_an_import_prints_goes_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.py").write_text("import os\nprint('hello')\nos.system('echo hello')\n" + GOOD)
    checked = check_handlers(["jobs:cleanup"], handlers_path=[tmp_path])
    assert isinstance(checked["jobs:cleanup"], HandlerInfo)
    assert capfd.readouterr() == ("", "")


def test_a_thousand_jobs_of_few_modules_import_each_module_once(tmp_path: Path) -> None:
    told = f"open({str(tmp_path / 'imported')!r}, 'a').write(__name__ + chr(10))\n"
    for number in range(5):
        (tmp_path / f"jobs{number}.py").write_text(told + GOOD)
    handlers = [f"jobs{number % 5}:cleanup" for number in range(1000)]
    checked = check_handlers(handlers, handlers_path=[tmp_path])
    assert len(checked) == 5
    imported = (tmp_path / "imported").read_text().split()
    assert sorted(imported) == [f"jobs{number}" for number in range(5)], "each module once"
