"""Secrets are known by their value, and are never written; nor is the password of an address.

Room rule: replaces what it was told of and what stands where a password stands, in time linear in the
text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from luad.config.secrets import MASK, without_passwords

SHORTEST: Final = 4  # anything shorter would mask half of every line, and is no secret


class Redactor:
    """Masks the values given to `add`; they are kept for the life of the process.

    >>> redactor = Redactor()
    >>> redactor.add("hunter22")
    >>> redactor.mask("login with hunter22")
    'login with ***'
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: tuple[str, ...] = ()
        self._escaped: tuple[str, ...] = ()
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Mask *value* from now on, and each of its lines: output is logged line by line."""
        lines = [line.strip() for line in value.splitlines()]
        new = {part for part in (value, value.strip(), *lines) if len(part) >= SHORTEST}
        # The longest first, so that a secret that contains another one is masked whole.
        values = tuple(sorted({*self._values, *new}, key=len, reverse=True))
        # As they stand in JSON text, be it ASCII alone or not.
        ascii_alone = [json.dumps(each)[1:-1] for each in values]
        others = [json.dumps(each, ensure_ascii=False)[1:-1] for each in values]
        self._escaped = tuple(dict.fromkeys((*ascii_alone, *others)))
        self._values = values

    def mask(self, text: str) -> str:
        """*text* with every known secret replaced, and with no password in its addresses."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        return without_passwords(text)

    def occurs_in_json(self, line: str) -> bool:
        """May *line*, JSON text as ``json.dumps`` writes it, hold a secret?

        It errs on the side of yes: an escape can end with what a secret begins with.
        """
        for value in self._escaped:
            if value in line:
                return True
        return "://" in line and "@" in line

    def mask_value(self, value: Any) -> Any:
        """The same for JSON values of any shape: keys, texts, and numbers that are secrets."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self.mask(str(key)): self.mask_value(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.mask_value(each) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value if (text := str(value)) == self.mask(text) else MASK
        return value
