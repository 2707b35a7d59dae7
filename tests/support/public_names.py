"""The public names of luad, read from the schemas, the command line, the API and the code.

``python tests/support/public_names.py`` adds new names to ``names.txt``: one name a line, after its kind. A name in that
file is part of what users rely on. ``test_names.py`` says which of them a change has lost.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "public" / "names.txt"
KEY = re.compile(r"[a-z][a-z0-9_]{1,40}")
EVENT = re.compile(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)+")
VARIABLE = re.compile(r"\bLUAD_[A-Z][A-Z_]*[A-Z]\b")
METRIC = re.compile(r"\bluad_[a-z_]+[a-z]\b")
CODE = re.compile(r"\bLU\d{3}\b")
SHOWING = ("api", "cli", "core", "daemon", "live", "web")
"""Packages whose dictionaries are JSON or fields of log lines that users see."""
MODULES = ("luad", "luad.sync", "luad.testing")


def main() -> None:
    """Add the names that are new to the golden list. A line is only ever removed by hand."""
    names = set(GOLDEN.read_text().splitlines()) if GOLDEN.exists() else set()
    GOLDEN.write_text("".join(f"{name}\n" for name in sorted(names | set(public_names()))))


def public_names() -> Iterator[str]:
    """Yield every public name of the code as it is now, with its kind before it."""
    yield from _keys_of_files()
    yield from _commands()
    yield from _http()
    yield from _code()
    yield from _stored_values()
    for module in (*MODULES, *_shipped_handlers()):
        yield from _importable(module)


def _keys_of_files() -> Iterator[str]:
    for path in sorted((ROOT / "schemas").glob("*.json")):
        for key in _properties(json.loads(path.read_text())):
            yield f"key of {path.name}: {key}"


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for each in schema.values():
            yield from _properties(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _properties(each)


def _commands() -> Iterator[str]:
    from luad.cli import command_group

    yield from _command(command_group(), "luad")


def _command(command: click.Command, name: str) -> Iterator[str]:
    yield f"command: {name}"
    for parameter in command.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("-"):
                yield f"option: {name} {option}"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            assert inner is not None
            yield from _command(inner, f"{name} {each}")


def _http() -> Iterator[str]:
    from luad.api.routes.openapi import document
    from luad.api.routes.table import TABLE

    told = document(TABLE)
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            yield f"operation: {method} {path}"
            for parameter in operation.get("parameters", ()):
                if "name" in parameter:
                    yield f"parameter: {method} {path} {parameter['name']}"
    for name in _properties(told):
        yield f"field of the API: {name}"


def _code() -> Iterator[str]:
    for path in sorted((ROOT / "luad").rglob("*.py")):
        text = path.read_text()
        for kind, pattern in ("variable", VARIABLE), ("metric", METRIC), ("problem code", CODE):
            for found in pattern.findall(text):
                yield f"{kind}: {found}"
        shows_json = path.relative_to(ROOT / "luad").parts[0] in SHOWING
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Dict) and shows_json:
                yield from _json_keys(node)
            elif isinstance(node, ast.Call):
                yield from _events(node)


def _json_keys(node: ast.Dict) -> Iterator[str]:
    for key in node.keys:
        if (
            isinstance(key, ast.Constant)
            and isinstance(key.value, str)
            and KEY.fullmatch(key.value)
        ):
            yield f"key of JSON: {key.value}"


def _events(node: ast.Call) -> Iterator[str]:
    first = node.args[0] if node.args else None
    text = str(first.value) if isinstance(first, ast.Constant) else ""
    if not EVENT.fullmatch(text) or text.startswith("luad."):
        return
    yield f"log event: {first.value}"
    for keyword in node.keywords:
        if keyword.arg is not None:
            yield f"log field: {keyword.arg}"


def _stored_values() -> Iterator[str]:
    for module in (
        "luad.core.model",
        "luad.core.installed",
        "luad.core.events",
        "luad.cli.terminal.failure",
    ):
        for name, value in vars(importlib.import_module(module)).items():
            if isinstance(value, type) and issubclass(value, Enum):
                for member in value:
                    yield f"value: {name} {member.value}"


def _shipped_handlers() -> Iterator[str]:
    package = importlib.import_module("luad.handlers")
    for found in pkgutil.iter_modules(package.__path__, "luad.handlers."):
        yield found.name


def _importable(module: str) -> Iterator[str]:
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(loaded).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module
        ]
    for name in names:
        yield f"importable: {module}.{name}"
        value = getattr(loaded, name)
        if inspect.isclass(value):
            for member in dir(value):
                if not member.startswith("_"):
                    yield f"member: {module}.{name}.{member}"
        elif inspect.isfunction(value):
            for parameter in inspect.signature(value).parameters:
                yield f"argument: {module}.{name} {parameter}"


if __name__ == "__main__":
    main()
