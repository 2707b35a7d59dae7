"""One job file as it is on disk: its text without secrets, its problems, and its jobs in force.

Rule: only files that luad itself reads as job files; a file is named by its path, in an id without slashes.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.config.problems import split_lines, with_excerpts
from luad.config.secrets import hiding, secrets_of
from luad.config.yaml.reader import Limits, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.errors import Problem

MOST_BYTES: Final = 256 * 1024
_SUFFIXES: Final = frozenset({".yaml", ".yml"})


@dataclass(frozen=True, slots=True)
class FileText:
    """The lines of a file without secrets, and its problems with the lines around them.

    *is_whole*: False if the file is longer than `MOST_BYTES`; *lines*: None if it cannot be read.
    """

    lines: list[str] | None
    problems: tuple[Problem, ...]
    is_whole: bool = True


def id_of(path: str) -> str:
    """Return the id of the file at *path*."""
    return urlsafe_b64encode(path.encode("utf-8", "surrogateescape")).decode().rstrip("=")


def path_of(file_id: str) -> str | None:
    """Return the path that an id names; None for a text that is not an id."""
    try:
        data = urlsafe_b64decode((file_id + "=" * (-len(file_id) % 4)).encode("ascii"))
        return data.decode("utf-8", "surrogateescape")
    except ValueError:
        return None


def is_job_file(path: str, folders: Sequence[str]) -> bool:
    """Return whether *path* is a YAML file directly in one of *folders*, or in a folder below one."""
    place = Path(path).absolute()
    inside = any(place.is_relative_to(folder) for folder in folders)
    return inside and place.suffix in _SUFFIXES and ".." not in place.parts


def read_file(path: str, problems: Sequence[Problem]) -> FileText:
    """Return the text of the file and *problems* with excerpts, both without secrets. It blocks."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError:
        return FileText(None, tuple(problems))
    is_whole = len(data) <= MOST_BYTES
    data = data[:MOST_BYTES]
    secrets: set[str] = set()
    for document in parse_yaml(data, path, Limits(max_bytes=MOST_BYTES + 1)):
        secrets.update(secrets_of(document.value))
    hidden = hiding(secrets)
    lines = [hidden(line) for line in split_lines(data)]
    return FileText(lines, with_excerpts(problems, data, secrets), is_whole)
