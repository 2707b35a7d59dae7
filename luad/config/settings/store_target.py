"""The address of a PostgreSQL store.

Rule: no text of this module for people contains a password. A URL may not have one: files and PGPASSFILE do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

SCHEMES: Final = ("postgresql", "postgres")
_SECRET: Final = frozenset({"password", "sslpassword"})


@dataclass(frozen=True, slots=True)
class Target:
    """A PostgreSQL database. *url* has no password; *password* comes from a file, or is None."""

    url: str
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, password: str | None = None) -> Target:
        """Return the target of *url*. Raises ValueError for a URL that is not one, or has a password."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError("the address of a store is a URL: postgresql://USER@HOST/DATABASE")
        names = {name for name, _ in parse_qsl(parts.query)}
        if ":" in parts.netloc.rpartition("@")[0] or names & _SECRET:
            raise ValueError(
                "the URL may not contain a password; write it to a file, and name that file in"
                " `store_password_file`, or use PGPASSFILE"
            )
        return cls(url, password)

    @property
    def shown(self) -> str:
        """The URL for people: without its parameters."""
        parts = urlsplit(self.url)
        return f"postgresql://{parts.netloc}{parts.path}"

    @property
    def has_several_hosts(self) -> bool:
        """True if the URL names more than one host."""
        return "," in urlsplit(self.url).netloc
