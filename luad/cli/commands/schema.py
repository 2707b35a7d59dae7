"""`luad schema` prints the JSON Schemas; `luad openapi` prints the OpenAPI document.

Rule: it copies the shipped schemas.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal

import click

from luad.cli.base import Command, pass_session
from luad.cli.option_conflicts import Exclusive
from luad.cli.session import Session
from luad.cli.terminal.failure import CommandError

NAMES: Final[tuple[Literal["job", "luad", "users"], ...]] = ("job", "luad", "users")


@click.command("schema", cls=Command, rules=[Exclusive("--write", "key")])
@click.argument("name", type=click.Choice(NAMES), default="job")
@click.argument("key", required=False)
@click.option(
    "--write", "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Write all schemas to DIR (usually .luad); replaces older ones",
)  # fmt: skip
@pass_session
def schema(
    session: Session, *, name: Literal["job", "luad", "users"], key: str | None, folder: Path | None
) -> None:
    """Print the JSON Schema of job files, settings or users files, for editors.

    With KEY, explain that key (`luad schema job retry.max_attempts`).
    """
    if key is not None:
        from luad.cli.terminal.key_docs import describe_key
        from luad.config.schema.validator import load_schema

        for line in describe_key(load_schema(name), key):
            session.out.line(line)
        return
    if folder is None:
        print(schema_text(name), end="")
        return
    written = [str(path) for path in write_schemas(folder)]
    if session.json:
        session.out.json({"written": written})
    else:
        session.out.info("wrote " + "  ".join(written))


@click.command("openapi", cls=Command)
@pass_session
def openapi(session: Session) -> None:
    """Print the OpenAPI 3.1 document of the HTTP API of this luad; needs no daemon."""
    from luad.api.routes.openapi import document
    from luad.api.routes.table import TABLE

    session.out.json(document(TABLE))


def schema_text(name: Literal["job", "luad", "users"]) -> str:
    """Return the schema *name* as the text of its file."""
    from luad.config.schema.validator import load_schema

    shipped = load_schema(name)
    return json.dumps(shipped, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into *folder*, each atomically; return the paths."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            path = schema_path(folder, name)
            fresh = path.with_suffix(".new")
            fresh.write_text(schema_text(name), encoding="utf-8")
            fresh.replace(path)
            written.append(path)
    except OSError as error:
        raise CommandError(
            f"cannot write {error.filename or folder}: {(error.strerror or str(error)).lower()}"
        ) from error
    return written


def schema_path(folder: Path, name: str) -> Path:
    """Return the path of the schema *name* in *folder*."""
    return folder / f"{name}.schema.json"
