"""Rules that refuse options of one command that contradict each other.

Rule: the check comes before the command starts; this module knows no command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from luad.cli.terminal.failure import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Two options (or arguments) that exclude each other."""

    one: str
    other: str

    def check(self, ctx: click.Context) -> None:
        """Raise `CommandError` (usage) when both were given."""
        if is_given(ctx, self.one) and is_given(ctx, self.other):
            message = f"{_shown(ctx, self.one)} and {_shown(ctx, self.other)} exclude each other"
            raise CommandError(message, code="usage", hint=f"{ctx.command_path} --help")


@dataclass(frozen=True, slots=True)
class Requires:
    """An option that has an effect only with one of *others*."""

    option: str
    others: tuple[str, ...]

    def check(self, ctx: click.Context) -> None:
        """Raise `CommandError` (usage) when it was given without any of the others."""
        if is_given(ctx, self.option) and not any(is_given(ctx, each) for each in self.others):
            wanted = " or ".join(_shown(ctx, each) for each in self.others)
            message = f"{_shown(ctx, self.option)} does nothing without {wanted}"
            raise CommandError(message, code="usage", hint=f"{ctx.command_path} --help")


@dataclass(frozen=True, slots=True)
class OnlyWith:
    """An option that has an effect only if the option *other* has the *value*."""

    option: str
    other: str
    value: str

    def check(self, ctx: click.Context) -> None:
        """Raise `CommandError` (usage) when it was given and *other* has another value."""
        where, param = next(_named(ctx, self.other))
        if is_given(ctx, self.option) and where.params.get(str(param.name)) != self.value:
            wanted = f"{self.other} {self.value}"
            message = f"{self.option} does nothing without {wanted}"
            raise CommandError(message, code="usage", hint=f"add  {wanted}")


@dataclass(frozen=True, slots=True)
class OnlyFor:
    """An option or argument that only some *actions* of a command take."""

    option: str
    actions: tuple[str, ...]

    def check(self, ctx: click.Context) -> None:
        """Raise `CommandError` (usage) when it was given with another action."""
        action = ctx.params["action"]
        if action not in self.actions and is_given(ctx, self.option):
            message = f"{_shown(ctx, self.option)} has no meaning for {ctx.command_path} {action}"
            hint = f"it belongs to {', '.join(self.actions)}"
            raise CommandError(message, code="usage", hint=hint)


Rule = Exclusive | Requires | OnlyWith | OnlyFor

GLOBAL_RULES = (Exclusive("--utc", "--tz"), Exclusive("--socket", "--url"))
"""The rules for the global options."""


def is_given(ctx: click.Context, option: str) -> bool:
    """Return True if *option* is on the command line, before or after the command's name."""
    return any(_is_set(where, param) for where, param in _named(ctx, option))


def _is_set(where: click.Context, param: click.Parameter) -> bool:
    name = str(param.name)
    if isinstance(param, click.Argument):
        return where.params.get(name) not in {None, ()}
    return where.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _named(ctx: click.Context, option: str) -> Iterator[tuple[click.Context, click.Parameter]]:
    where: click.Context | None = ctx
    while where is not None:
        for param in where.command.params:
            if option in (*param.opts, *param.secondary_opts, param.name):
                yield where, param
        where = where.parent


def _shown(ctx: click.Context, option: str) -> str:
    """Return an option as the user writes it, and an argument in capitals."""
    if option.startswith("-"):
        return option
    param = next(param for _, param in _named(ctx, option))
    return param.human_readable_name.strip("[].").upper()
