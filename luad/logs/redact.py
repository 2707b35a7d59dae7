"""Masks secrets, which it knows by their values, and the passwords of addresses.

Rule: replaces known values, and the password part of an address, in time linear in the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from luad.config.secret_forms import Spellings, spellings_of
from luad.config.secrets import MASK, without_passwords

SHORTEST: Final = 4  # a shorter value would mask half of every line, and is not a secret


class Redactor:
    """Masks the values given to `add`; they are kept for the life of the process.

    >>> redactor = Redactor()
    >>> redactor.add("hunter22")
    >>> redactor.mask("login with hunter22")
    'login with ***'
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._known: dict[str, Spellings] = {}
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Mask *value* from now on, and each of its lines, because output is logged by line."""
        lines = [line.strip() for line in value.splitlines()]
        new = {part for part in (value, value.strip(), *lines) if len(part) >= SHORTEST}
        # The longest first, so that a secret that contains another one is masked completely.
        values = sorted({*self._known, *new}, key=len, reverse=True)
        self._known = {each: self._known.get(each) or spellings_of(each) for each in values}

    def mask(self, text: str) -> str:
        """Return *text* without known secrets, in any form, and without passwords in addresses."""
        for each in self._known.values():
            text = each.replace(text, _hide)
        return without_passwords(text)

    def occurs_in_json(self, line: str) -> bool:
        """Return False if *line*, JSON text from ``json.dumps``, certainly holds no secret.

        True may be wrong, because an escape can end with the first letter of a secret.
        """
        if any(each.may_stand_in(line) for each in self._known.values()):
            return True
        return "://" in line and "@" in line

    def mask_value(self, value: object) -> object:
        """Return a JSON value with masked keys and texts, and without numbers that are secrets."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self.mask(str(key)): self.mask_value(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.mask_value(each) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value if (text := str(value)) == self.mask(text) else MASK
        return value


def _hide(_: str) -> str:
    return MASK
