"""The file with the password for a PostgreSQL store, such as a credential of systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path


def read_password(path: Path | None) -> str | None:
    """Return the password in *path*, without its line end; None without a path.

    Raises UnavailableError when the file cannot be read.
    """
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"the password file {path} cannot be read: {error}",
            hint="`store_password_file` must name a file that the user of luad may read",
        ) from error
