"""The names that a module binds itself, read from its text without an import.

A name counts if the top level of the module binds it by ``def``, ``async def``, ``class`` or an
assignment. A name that an import binds, at any level, does not count, nor does one that an
``import *`` may rebind.

Rule: text in, names out.
"""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FILE: Final = "<a file of handlers>"
warnings.filterwarnings("ignore", module=_FILE)  # the warnings of its own import are enough


class Bindings(NamedTuple):
    """*own*: names that the module binds itself. *imported*: names that may come from elsewhere.

    *functions* are those of *own* that a ``def`` binds, in order. *has_star*: an ``import *``
    binds unknown names.
    """

    own: frozenset[str]
    imported: frozenset[str]
    functions: tuple[str, ...]
    has_star: bool


class Written(NamedTuple):
    """*names*: each name that a statement binds, at any level. *functions*: as in `Bindings`."""

    names: frozenset[str]
    functions: tuple[str, ...]


def bindings_of(source: bytes) -> Bindings:
    """Return the names of a module. Raises ``SyntaxError`` or ``ValueError`` if it is not Python."""
    return _bindings(ast.parse(source, _FILE))


def written_in(source: bytes) -> Written:
    """Return the names that may exist in a module, and its functions. Raises as `bindings_of` does."""
    tree = ast.parse(source, _FILE)
    return Written(frozenset(_possible_names(tree)), _bindings(tree).functions)


def _bindings(tree: ast.Module) -> Bindings:
    scope = _Scope()
    scope.read(tree.body, is_certain=True)
    scope.read_globals(tree)
    own = frozenset(scope.own)
    functions = tuple(name for name in scope.functions if name in own)
    return Bindings(own, frozenset(scope.imported), functions, scope.has_star)


def _possible_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Import() | ast.ImportFrom():
                yield from _bound_by(node)
            case ast.keyword(arg=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name


class _Scope:
    """The top level of one module, statement by statement."""

    def __init__(self) -> None:
        self.own: set[str] = set()
        self.imported: set[str] = set()
        self.functions: dict[str, None] = {}
        self.has_star = False

    def read(self, body: Iterable[ast.stmt], *, is_certain: bool) -> None:
        """Read statements. Those below an ``if`` or a ``try`` are not *is_certain*."""
        for statement in body:
            match statement:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    self.functions[name] = None
                    self._bind(name, is_certain=is_certain)
                case ast.ClassDef(name=name):
                    self._bind(name, is_certain=is_certain)
                case ast.Assign(targets=targets):
                    for target in targets:
                        self._bind_target(target, is_certain=is_certain)
                case ast.AnnAssign(target=target, value=value) if value is not None:
                    self._bind_target(target, is_certain=is_certain)
                case ast.Import() | ast.ImportFrom():
                    self._import(statement)
                case _:
                    for inner in _blocks(statement):
                        self.read(inner, is_certain=False)

    def read_globals(self, tree: ast.Module) -> None:
        """Read the names that functions import by a ``global`` statement."""
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = list(ast.walk(node))
                names = {
                    name for each in inner if isinstance(each, ast.Global) for name in each.names
                }
                for each in inner if names else ():
                    if isinstance(each, ast.Import | ast.ImportFrom):
                        self._mark_imported(names & set(_bound_by(each)))

    def _bind_target(self, target: ast.expr, *, is_certain: bool) -> None:
        match target:
            case ast.Name(id=name):
                self._bind(name, is_certain=is_certain)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._bind_target(part, is_certain=is_certain)
            case ast.Starred(value=value):
                self._bind_target(value, is_certain=is_certain)

    def _bind(self, name: str, *, is_certain: bool) -> None:
        if name in self.imported and not is_certain:
            return  # in some cases it is the imported object
        self.imported.discard(name)
        self.own.add(name)

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        names = set(_bound_by(statement))
        if "*" in names:
            self.has_star = True
            names |= self.own  # the star may rebind each of them
            names.discard("*")
        self._mark_imported(names)

    def _mark_imported(self, names: Iterable[str]) -> None:
        self.imported.update(names)
        self.own.difference_update(names)


def _bound_by(statement: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in statement.names:
        yield alias.asname or (
            alias.name.partition(".")[0] if isinstance(statement, ast.Import) else alias.name
        )


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the blocks of a statement that share its scope."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(statement, name, None)
        if isinstance(block, list):
            yield block
    for each in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield each.body
