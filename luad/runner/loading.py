"""Imports the function that ``package.module:function`` names, always from the current source.

Rule: runs in the handler's process (or a similar one), never in the daemon. It does not trust the imported
code, and every error says what to do.

Python compares compiled code with its source by size and time in seconds, so it would miss an edit that
keeps both. Modules below ``handlers_path`` are therefore compared by content, with a cache of their own.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import marshal
import os
import re
import sys
from contextlib import suppress
from enum import StrEnum
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from luad.config.jobs.reserved_names import is_reserved, reserved_file
from luad.runner.calling import is_generator
from luad.runner.module_finders import HandlersFinder, HandlersFirst, is_below
from luad.sdk.params import ATTRIBUTE
from luad.suggestions import close_to
from luad.trust import path_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

HANDLER_PATTERN: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_NOT_PLAIN: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_VARARGS
ENTRY_POINT_GROUP: Final = "luad.handlers"


class Fault(StrEnum):
    """The faults of a handler, as problem codes."""

    NO_FUNCTION = "LU301"
    IMPORT_FAILED = "LU302"
    WRONG_SIGNATURE = "LU303"
    NO_MODULE = "LU304"
    IMPORT_HANGS = "LU305"
    NOT_TRUSTED = "LU306"
    NOT_ALLOWED = "LU307"
    RESERVED_NAME = "LU310"
    BAD_METADATA = "LU110"
    BAD_PARAMS = "LU111"


class HandlerError(Exception):
    """A handler cannot be called. *hint* says what to do, *place* is ``file:line`` if known."""

    def __init__(self, fault: Fault, message: str, *, hint: str = "", place: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.fault = fault
        self.message = message
        self.hint = hint
        self.place = place


def prepare_imports(
    handlers_path: Sequence[str],
    code_cache: str | None = None,
    *,
    permit_insecure: bool = False,
    before_read: Callable[[str], None] | None = None,
) -> None:
    """Set up imports: *handlers_path* comes first, and the working folder is not searched.

    Modules of the standard library and of luad come before, because a file with such a name would break
    other imports. *code_cache* is a folder for compiled code; None compiles every time. *permit_insecure*:
    modules that other users may write are imported as well. *before_read* gets the path of each source
    in the handlers' folders just before it is read.
    """
    roots = [os.path.abspath(path) for path in handlers_path]
    sys.path[:] = roots + [path for path in sys.path if path and path not in roots]
    _TrustCheck.is_on = not permit_insecure
    _FreshLoader.before_read = before_read
    sys.path_hooks.insert(0, _finder_hook(roots, code_cache))
    sys.meta_path.insert(0, HandlersFirst(roots))
    below = tuple(root + os.sep for root in roots)
    for path in list(sys.path_importer_cache):
        if path in roots or path.startswith(below):
            del sys.path_importer_cache[path]


def load_handler(handler: str, handlers_path: Sequence[str] = ()) -> Callable[..., Any]:
    """Return the imported function that *handler* names.

    Raises `HandlerError` if it cannot be found, and any exception that the module itself raises.
    """
    if ":" not in handler:
        return _load_entry_point(handler)
    if not HANDLER_PATTERN.fullmatch(handler):
        raise HandlerError(
            Fault.NO_FUNCTION,
            f"`{handler[:100]}` is not a handler",
            hint="write package.module:function",
        )
    name, _, function = handler.partition(":")
    _refuse_reserved(name, function, handlers_path)
    _forget_shadowed(name, handlers_path)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only if this module itself, or a package that contains it, was not found.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        places = ", ".join(handlers_path) or "no handlers_path"
        raise HandlerError(
            Fault.NO_MODULE,
            f"the module `{error.name}` does not exist",
            hint=f"luad searched {places}, then the installed packages",
        ) from None
    return _function_of(module, name, function)


def _refuse_reserved(name: str, function: str, handlers_path: Sequence[str]) -> None:
    """Raise `HandlerError` if *name* means a file that luad never imports."""
    top, dot, rest = name.partition(".")
    found = reserved_file(top, handlers_path)
    if found is not None:
        raise HandlerError(
            Fault.RESERVED_NAME,
            found.message,
            hint=f"rename it to {found.new_path}, and write  "
            f"handler: {found.new_name}{dot}{rest}:{function}",
        )


def takes_job(handler: str, function: Callable[..., Any]) -> bool:
    """Return True if *function* takes the job, False if it takes no argument.

    Raises `HandlerError` if it needs other arguments, or is a generator.
    """
    if type(function) is FunctionType and function.__dict__.keys() <= {ATTRIBUTE}:
        code = function.__code__
        required = code.co_argcount - len(function.__defaults__ or ())
        # The usual case needs no `inspect`, which costs a fresh process half a millisecond.
        if not code.co_flags & _NOT_PLAIN and not code.co_kwonlyargcount and required <= 1:
            return code.co_argcount > 0
    if is_generator(function):
        raise HandlerError(
            Fault.WRONG_SIGNATURE,
            f"handler `{handler}` is a generator: calling it would run none of it",
            hint="remove the `yield`, or loop over the generator in another function",
            place=place_of(function),
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return True
    for arguments in ((None,), ()):
        with suppress(TypeError):
            signature.bind(*arguments)
            return bool(arguments)
    shown = ", ".join(
        str(parameter).partition(":")[0] for parameter in signature.parameters.values()
    )
    raise HandlerError(
        Fault.WRONG_SIGNATURE,
        f"handler `{handler}` takes ({shown}); luad passes one argument, job",
        hint="take only `job`; parameters come in `job.metadata`",
        place=place_of(function),
    )


def place_of(function: object) -> str:
    """Return ``file:line`` of a function; empty if it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def _function_of(module: Any, name: str, function: str) -> Callable[..., Any]:
    missing = object()
    found = getattr(module, function, missing)
    if found is missing:
        raise HandlerError(
            Fault.NO_FUNCTION,
            f"`{name}` has no function `{function}`",
            **_nearest(module, function),
        )
    if isinstance(found, type) or not callable(found):
        kind = "a class" if isinstance(found, type) else f"of type {type(found).__name__}"
        raise HandlerError(
            Fault.NO_FUNCTION,
            f"`{name}:{function}` is {kind}, not a function",
            hint="a handler is a function that takes the job",
        )
    handler: Callable[..., Any] = found
    return handler


def _nearest(module: Any, function: str) -> dict[str, str]:
    """Return *hint* and *place* for the most similar function of *module*."""
    functions = {
        key: value
        for key, value in vars(module).items()
        if inspect.isroutine(value) and (not key.startswith("_") or function.startswith("_"))
    }
    own = [key for key, value in functions.items() if value.__module__ == module.__name__]
    near = close_to(function, own or functions)
    if near:
        return {"hint": f"did you mean `{near[0]}`?", "place": place_of(functions[near[0]])}
    if own:
        return {"hint": f"it has {', '.join(f'`{key}`' for key in own[:8])}"}
    return {"hint": "it has no functions at all"}


def _load_entry_point(name: str) -> Callable[..., Any]:
    # The import takes 37 ms, and few handlers need it.
    from importlib.metadata import entry_points  # noqa: PLC0415

    known = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in known:
        near = close_to(name, known)
        hint = f"did you mean `{near[0]}`?" if near else "write package.module:function"
        raise HandlerError(
            Fault.NO_MODULE,
            f"no installed package has an entry point `{name}` in the group {ENTRY_POINT_GROUP}",
            hint=hint,
        )
    found: Callable[..., Any] = known[name].load()
    return found


def _forget_shadowed(name: str, handlers_path: Sequence[str]) -> None:
    """Unload a module that a ``.pth`` file loaded, if the user has one of the same name."""
    top = name.partition(".")[0]
    if top not in sys.modules or is_reserved(top):
        return
    spec = importlib.machinery.PathFinder.find_spec(top, list(handlers_path))
    if spec is None or spec.origin is None:
        return
    if spec.origin != getattr(sys.modules[top], "__file__", None):
        for loaded in [key for key in sys.modules if f"{key}.".startswith(f"{top}.")]:
            del sys.modules[loaded]


def _finder_hook(roots: Sequence[str], code_cache: str | None) -> Callable[[str], Any]:
    _FreshLoader.cache = code_cache
    kinds: list[tuple[Any, list[str]]] = [
        (_GuardedExtensionLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (_FreshLoader, importlib.machinery.SOURCE_SUFFIXES),
        (_GuardedBytecodeLoader, importlib.machinery.BYTECODE_SUFFIXES),
    ]

    def hook(path: str) -> importlib.machinery.FileFinder:
        if not is_below(path, roots) or not os.path.isdir(path):
            raise ImportError("not one of the handlers' folders", path=path)
        return HandlersFinder(path, *kinds)

    return hook


class _TrustCheck:
    """Refuses a module that another user could have written, just before its code runs."""

    is_on = False

    @classmethod
    def check(cls, module: str, path: str) -> None:
        """Raise `HandlerError` if *path*, or a folder or link on it, is not trusted."""
        problem = path_problem(path, daemon_uid=os.geteuid()) if cls.is_on else None
        if problem is not None:
            where = "" if problem.path == path else f" from {path}"
            message = f"`{module}` is not imported{where}: {problem.message}"
            raise HandlerError(Fault.NOT_TRUSTED, message, hint=problem.help, place=path)

    @classmethod
    def trusts_cache(cls, path: str) -> bool:
        """Return True if luad may load compiled code from *path*."""
        return not cls.is_on or path_problem(path, daemon_uid=os.geteuid()) is None


class _GuardedExtensionLoader(importlib.machinery.ExtensionFileLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _TrustCheck.check(self.name, self.path)
        return super().create_module(spec)


class _GuardedBytecodeLoader(importlib.machinery.SourcelessFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        _TrustCheck.check(fullname, self.get_filename(fullname))
        return super().get_code(fullname)


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Loads source, or code that was compiled from exactly the same source."""

    cache: str | None = None
    before_read: ClassVar[Callable[[str], None] | None] = None

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        _TrustCheck.check(fullname, path)
        if (before_read := _FreshLoader.before_read) is not None:
            before_read(path)
        source = self.get_data(path)
        if self.cache is None:
            return self._compile(source, path)
        # The hash also covers Python's own version of compiled code.
        key = importlib.util.source_hash(source)
        name = importlib.util.source_hash(os.fsencode(path)).hex()
        file = os.path.join(self.cache, f"{name}.{sys.implementation.cache_tag}.code")
        with suppress(OSError, EOFError, ValueError, TypeError):
            stored = self.get_data(file)
            if stored.startswith(key) and _TrustCheck.trusts_cache(file):
                code = marshal.loads(memoryview(stored)[len(key) :])  # noqa: S302 - our own folder, as safe as the source
                return code  # type: ignore[no-any-return] # noqa: RET504 - mypy needs the name
        code = self._compile(source, path)
        with suppress(OSError):
            _write_whole(file, key + marshal.dumps(code))
        return code

    def _compile(self, source: bytes, path: str) -> CodeType:
        code: CodeType = self.source_to_code(source, path)
        return code


def _write_whole(file: str, data: bytes) -> None:
    """Replace *file* atomically, so that a reader never sees a part of the content."""
    # The folder has mode 0700, because a user who can write here can run code as luad.
    os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
    temporary = f"{file}.{os.getpid()}"
    with open(temporary, "wb") as stream:
        stream.write(data)
    os.replace(temporary, file)
