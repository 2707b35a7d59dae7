"""The global options of one command, and the output, instant and zone that follow from them.

Rule: costly values are computed on first use, so that `--help` stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from luad.cli.terminal.failure import CommandError
from luad.cli.terminal.output import Output
from luad.cli.terminal.times import UTC
from luad.clock import wall_ms

if TYPE_CHECKING:
    from datetime import tzinfo

    from luad.core.model import Instant


@dataclass
class Session:
    """The global options; each may come before or after the command's name."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: str = "auto"
    utc: bool = False
    tz: str | None = None
    config: str | None = None
    socket: str | None = None
    url: str | None = None
    yes: bool = False

    @cached_property
    def out(self) -> Output:
        """The output streams of this command."""
        return Output(is_json=self.json, is_quiet=self.quiet, color=self.color)

    @cached_property
    def now(self) -> Instant:
        """The instant of this command. It is read once, so that the whole answer agrees."""
        return wall_ms()

    @cached_property
    def zone(self) -> tzinfo | None:
        """The zone in which times are shown and read; None is the machine's zone."""
        if self.utc:
            return UTC
        return None if self.tz is None else named_zone(self.tz)

    def confirm(self, question: str) -> None:
        """Ask the user before an irreversible change.

        Raises `CommandError`: usage without a terminal, interrupted when the user declines.
        """
        import sys

        if self.yes:
            return
        if self.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise CommandError(
                f"{question}  stdin is not a terminal, so luad cannot ask.",
                code="usage",
                hint="use --yes",
            )
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise CommandError("nothing was done", code="interrupted")


def named_zone(name: str) -> tzinfo:
    """Return the IANA zone *name*; raises `CommandError` (usage) with similar names."""
    from luad.core.cron.search import ZoneError, load_zone

    try:
        return load_zone(name)
    except ZoneError as error:
        raise CommandError(str(error), code="usage", hint=error.help) from error
