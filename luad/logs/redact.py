"""Secrets are known by their value, and are never written; nor is the password of an address.

Rule: replaces what it was told of and what stands where a password stands, in time linear in the
text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from luad.config.secret_forms import Spellings, spellings_of
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
        self._known: dict[str, Spellings] = {}
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Mask *value* from now on, and each of its lines: output is logged line by line."""
        lines = [line.strip() for line in value.splitlines()]
        new = {part for part in (value, value.strip(), *lines) if len(part) >= SHORTEST}
        # The longest first, so that a secret that contains another one is masked whole.
        values = sorted({*self._known, *new}, key=len, reverse=True)
        self._known = {each: self._known.get(each) or spellings_of(each) for each in values}

    def mask(self, text: str) -> str:
        """*text* with every known secret replaced, in each form, and with no password in its addresses."""
        for each in self._known.values():
            text = each.replace(text, _hide)
        return without_passwords(text)

    def occurs_in_json(self, line: str) -> bool:
        """May *line*, JSON text as ``json.dumps`` writes it, hold a secret?

        It errs on the side of yes: an escape can end with what a secret begins with.
        """
        if any(each.may_stand_in(line) for each in self._known.values()):
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


def _hide(_: str) -> str:
    return MASK
