"""Masks known secrets in the output and results of handlers, before they are stored or shown.

Known secrets are systemd's credentials, and variables of luad's environment whose name suggests a secret or
that a channel refers to. For a run, values of its job's `env` with such a name are added. The log masks the
daemon's own lines.

Rule: this module does not read the files that channels refer to; only the sender reads them.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.config.secrets import is_worth, secret_values
from luad.logs.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from luad.core.events import StartAttempt
    from luad.core.messaging import User
    from luad.core.model import Ending

_REFERENCE: Final = re.compile(r"\$\{(\w+)\}")
_TEXTS: Final = ("message", "logger", "exception", "stack", "extras")
_MOST_BYTES: Final = 16 * 1024
_LEAST_REFERRED: Final = 8
"""A variable that a channel refers to may also be a host or a user name; shorter values are not masked."""


class SecretMask:
    """Adds the secrets of *environ* to *redactor*; masks them, and those of each run, in its output."""

    def __init__(self, redactor: Redactor, environ: Mapping[str, str]) -> None:
        self._redactor = redactor
        self._environ = environ
        self._of_run: dict[str, Redactor] = {}
        self._referred: set[str] = set()
        for value in (*secret_values(environ.items()), *_credentials(environ)):
            if not os.path.exists(value):  # noqa: PTH110 - the path of a key is not a secret, and this never raises
                redactor.add(value)

    def note_users(self, users: Iterable[User]) -> None:
        """Add the variables that the channels of *users* refer to."""
        texts = (
            text
            for user in users
            for channel in user.channels
            for text in (channel.url, *(value for _, value in channel.headers))
        )
        found = {name for text in texts if "${" in text for name in _REFERENCE.findall(text)}
        for name in found - self._referred:
            value = self._environ.get(name, "")
            if len(value) >= _LEAST_REFERRED:
                self._redactor.add(value)
        self._referred |= found

    def note_start(self, start: StartAttempt) -> None:
        """Add the secrets that the handler of an attempt gets in its environment."""
        own = secret_values(start.job.env)
        if own:
            self._of_run[start.run.id] = Redactor(own)

    def forget(self, run_id: str) -> None:
        """Remove the secrets of an attempt that is over."""
        self._of_run.pop(run_id, None)

    def mask_line(self, run_id: str, line: dict[str, object]) -> None:
        """Mask secrets in a line that a handler has printed or logged."""
        for key in _TEXTS:
            if key in line:
                line[key] = self._mask(run_id, line[key])

    def mask_ending(self, run_id: str, ending: Ending) -> Ending:
        """Return *ending* with masked error, result and reason."""
        error, result = ending.error, ending.result_json
        if error is not None:
            error = replace(
                error,
                type=self._mask(run_id, error.type),
                message=self._mask(run_id, error.message),
                traceback=self._mask(run_id, error.traceback),
            )
        if result is not None and self._may_stand_in(run_id, result):
            value = json.loads(result)
            if (hidden := self._mask(run_id, value)) != value:
                result = json.dumps(hidden, ensure_ascii=False)
        omitted = self._mask(run_id, ending.result_omitted)
        if (error, result, omitted) == (ending.error, ending.result_json, ending.result_omitted):
            return ending
        return replace(ending, error=error, result_json=result, result_omitted=omitted)

    def _may_stand_in(self, run_id: str, text: str) -> bool:
        """Return a quick estimate: a result may be long, and the loop waits."""
        own = self._of_run.get(run_id)
        is_own = own is not None and own.occurs_in_json(text)
        return is_own or self._redactor.occurs_in_json(text)

    def _mask(self, run_id: str, value: object) -> Any:
        own = self._of_run.get(run_id)
        return self._redactor.mask_value(value if own is None else own.mask_value(value))


def _credentials(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the credentials that systemd has stored for this service."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return
    with suppress(OSError):
        for path in sorted(Path(folder).iterdir()):
            with suppress(OSError, ValueError):
                # Without O_NONBLOCK, opening a named pipe would wait for its writer.
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                with os.fdopen(descriptor, encoding="utf-8") as file:
                    value = file.read(_MOST_BYTES).strip()
                if is_worth(value):
                    yield value
