"""Deliberately broken engines, and the seeds whose histories give them away.

Room rule: a mutant is one function of luad with a few words of its text replaced, as a bug that a peer
had would have it. The real function gets the broken code for as long as the mutant is applied; whoever
imported it, from wherever, calls the broken one. What is to be replaced must stand in the function
exactly once, so a mutant that no longer means anything is told at once.

`PYTHONPATH=tests python -m simulation.mutants` checks that the seeds that are written down still catch their mutants;
`--hunt` looks for new ones (for all, or for those that are named) and rewrites the list and the document.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Final

from simulation.campaign import judge

CAUGHT: Final = Path(__file__).parent / "caught.json"
PAGE: Final = Path(__file__).parents[2] / "docs/explanation/mutants.md"
BEGIN, END = "<!-- mutants -->\n", "<!-- end -->"

CRASH: Final = "crash"
"""Stands among the promises for a mutant that makes luad itself fall over, at an assertion most likely."""

MOST_SEEDS: Final = 500
LONGEST_S: Final = 20.0


@dataclass(frozen=True)
class Mutant:
    """A bug that somebody had.

    *repeats*: whose bug it was (with its number there), or whose lesson. *breaks*: the promises of which one at least is to
    be named by what catches it. *where*: module and function. *edits*: what stands there, and what
    stands there instead. *is_cluster*: the months are those of a cluster.
    """

    name: str
    repeats: str
    bug: str
    breaks: tuple[str, ...]
    where: str
    edits: tuple[tuple[str, str], ...]
    is_cluster: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the function be the broken one."""
        function = self._function()
        real, broken = function.__code__, self._broken(function)
        function.__code__ = broken
        _forget_answers()
        try:
            yield
        finally:
            function.__code__ = real
            _forget_answers()

    def judge(self, seed: int) -> list[str]:
        """Return what *seed* finds while the function is broken."""
        with self.applied():
            return self.judge_real(seed)

    def judge_real(self, seed: int) -> list[str]:
        """Return what *seed* finds while nothing is broken."""
        return judge(seed, is_cluster=self.is_cluster)

    def finding(self, seed: int) -> str | None:
        """Return the first violation that *seed* finds, and that names what the mutant breaks."""
        return next((each for each in self.judge(seed) if kind_of(each) in self.breaks), None)

    def _function(self) -> FunctionType:
        module, _, path = self.where.partition(":")
        found: object = importlib.import_module(module)
        for name in path.split("."):
            found = inspect.getattr_static(found, name)
        if isinstance(found, property):
            found = found.fget
        if isinstance(found, staticmethod):
            found = found.__func__
        found = inspect.unwrap(found)  # type: ignore[arg-type] # what is none is told below
        assert isinstance(found, FunctionType), f"{self.where} is no function"
        return found

    def _broken(self, function: FunctionType) -> CodeType:
        text = textwrap.dedent(inspect.getsource(function))
        # The text comes from the file. If somebody edits the file during the test, it may be another function's.
        read, own = self._compiled(text, function), function.__code__
        variables = tuple(
            each for each in own.co_varnames if not each.startswith("@py")
        )  # pytest's
        is_same = read.co_varnames == variables and {*read.co_names} <= {*own.co_names}
        assert is_same, f"{self.where} was edited after its import: run the test again"
        for real, instead in self.edits:
            assert text.count(real) == 1, f"{self.name}: `{real}` is not once in {self.where}"
            text = text.replace(real, instead)
        return self._compiled(text, function)

    def _compiled(self, text: str, function: FunctionType) -> CodeType:
        """Return the code of *function* with *text* as its source."""
        tree = ast.parse(f"from __future__ import annotations\n{text}")
        definition = tree.body[1]
        assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
        definition.decorator_list.clear()
        names = dict(function.__globals__)
        exec(compile(tree, f"<{self.name}>", "exec"), names)  # noqa: S102 - our own text
        code: CodeType = names[function.__name__].__code__
        assert code.co_freevars == function.__code__.co_freevars
        return code


def _forget_answers() -> None:
    """Empty the caches of luad: what a broken function has answered is not for the real one."""
    for name, module in list(sys.modules.items()):
        if name.startswith("luad."):
            for each in vars(module).values():
                if isinstance(each, _lru_cache_wrapper):
                    each.cache_clear()


def kind_of(violation: str) -> str:
    """Return the name of the promise that *violation* says is broken."""
    return CRASH if violation.startswith("Traceback") else violation.partition(":")[0]


def all_mutants() -> dict[str, Mutant]:
    """Return every mutant by its name."""
    from simulation.mutants_of_clusters import MUTANTS as OF_CLUSTERS
    from simulation.mutants_of_runs import MUTANTS as OF_RUNS
    from simulation.mutants_of_time import MUTANTS as OF_TIME

    return {each.name: each for each in (*OF_TIME, *OF_RUNS, *OF_CLUSTERS)}


# --- seeds -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Catch:
    """The seed that catches a mutant, and what the checker says then."""

    seed: int
    violation: str


def caught() -> dict[str, Catch]:
    """Return what is written down."""
    return {name: Catch(*each) for name, each in json.loads(CAUGHT.read_text()).items()}


def hunt(mutant: Mutant, seeds: Sequence[int]) -> Catch | None:
    """Return the first of *seeds* that catches *mutant*, and is clean without it."""
    for seed in seeds:
        with within(LONGEST_S):
            violation = mutant.finding(seed)
        if violation is not None and mutant.judge_real(seed) == []:
            return Catch(seed, _short(violation))
    return None


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have a history that does not come to its end fall over, which its judge takes for a finding."""

    def ring(_: int, __: FrameType | None) -> None:
        raise TimeoutError("this history does not come to its end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _short(violation: str) -> str:
    """Return the part of *violation* that says it: one line, and not a long one."""
    lines = violation.strip().splitlines()
    line = f"{CRASH}: {lines[-1]}" if kind_of(violation) == CRASH else lines[0]
    return line if len(line) <= 160 else f"{line[:159]}…"


# --- the document ------------------------------------------------------------------------------


def rows() -> Iterator[str]:
    """Yield the rows of the document's table."""
    known = caught()
    yield "| mutant | what is broken | comes from | seed | what the checker says |"
    yield "|---|---|---|---|---|"
    for mutant in all_mutants().values():
        catch = known.get(mutant.name, Catch(-1, "nobody has caught it"))
        said = catch.violation.replace("|", "&#124;")
        yield f"| {mutant.name} | {mutant.bug} | {mutant.repeats} | {catch.seed} | `{said}` |"


def rewritten(text: str) -> str:
    """Return *text*, the document, with its table made anew."""
    before, rest = text.split(BEGIN)
    table = "".join(f"{row}\n" for row in rows())
    return f"{before}{BEGIN}{table}{END}{rest.split(END)[1]}"


# --- the command -------------------------------------------------------------------------------


def main() -> int:
    """Check or hunt; 1 when a mutant is at large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants")
    parser.add_argument("--hunt", action="store_true", help="look for seeds, and write them down")
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, help="look at so many at most")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    asked = parser.parse_args()
    known, mutants = caught(), all_mutants()
    at_large = []
    for name in asked.names or mutants:
        if asked.hunt:
            catch = hunt(mutants[name], range(asked.first, asked.first + asked.seeds))
            known = {each: known[each] for each in mutants if each in known and each != name}
            if catch is not None:
                known[name] = catch
            _write(known, mutants)
        else:
            catch = known.get(name)
            if catch is not None and mutants[name].finding(catch.seed) is None:
                catch = None
        if catch is None:
            at_large.append(name)
        print(f"{name}: {f'{catch.seed} {catch.violation}' if catch else 'AT LARGE'}", flush=True)
    print(f"{len(at_large)} at large: {', '.join(at_large)}" if at_large else "all are caught")
    return 1 if at_large else 0


def _write(known: dict[str, Catch], mutants: dict[str, Mutant]) -> None:
    lines = [
        f"{json.dumps(name)}: {json.dumps([known[name].seed, known[name].violation], ensure_ascii=False)}"
        for name in mutants
        if name in known
    ]
    CAUGHT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    PAGE.write_text(rewritten(PAGE.read_text()))


if __name__ == "__main__":
    sys.modules["mutants"] = sys.modules[__name__]  # the lists import it by its name
    sys.exit(main())
