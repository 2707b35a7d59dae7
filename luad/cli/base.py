"""The group that imports commands late, and the global options of every command.

Rule: it knows the names of commands, and not what they do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from luad.cli.option_conflicts import GLOBAL_RULES
from luad.cli.session import Session
from luad.cli.terminal.failure import CommandError
from luad.suggestions import close_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.cli.option_conflicts import Rule

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

pass_session = click.make_pass_decorator(Session)


class CommandEntry(NamedTuple):
    """The module of a command below `luad.cli.commands`, its name there, and one line about it."""

    module: str
    attribute: str
    help: str
    section: str


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Store a global option. An absent option must not overwrite a given one."""
    if value is not None and value is not False and param.name is not None:
        setattr(ctx.ensure_object(Session), param.name, value)


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Return the options that every command takes, before and after its name."""

    def option(*names: str, **attributes: Any) -> click.Option:
        return click.Option(
            names, expose_value=False, callback=_remember, hidden=hidden, **attributes
        )

    choice = click.Choice(["auto", "always", "never"])
    return [
        option("--json", is_flag=True, help="One JSON document on stdout (lines for streams)"),
        option("-q", "--quiet", is_flag=True, help="Data and errors only"),
        option("-v", "--verbose", is_flag=True, help="Say more; tracebacks of luad's own faults"),
        option("--color", type=choice, default=None, help="Colour; else NO_COLOR, FORCE_COLOR"),
        option("--utc", is_flag=True, help="Times in UTC"),
        option("--tz", metavar="ZONE", help="Times in this zone; default: the machine's"),
        option("--config", metavar="FILE", help="Settings; default: luad.yaml"),
        option("--socket", metavar="PATH", help="The daemon's socket; else $LUAD_SOCKET"),
        option("--url", metavar="URL", help="The daemon's URL; else $LUAD_URL, with $LUAD_TOKEN"),
        option("--yes", is_flag=True, help="Do not ask"),
    ]


class Command(click.Command):
    """A command that also takes the global options after its name.

    *rules* name the options that the command refuses together.
    """

    def __init__(self, *args: Any, rules: Sequence[Rule] = (), **kwargs: Any) -> None:
        self.rules = rules
        kwargs.setdefault("epilog", "Global options: luad --help")
        kwargs["context_settings"] = {**CONTEXT, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)
        taken = {name for param in self.params for name in param.opts}
        self.params += [
            param for param in global_options(hidden=True) if not taken.intersection(param.opts)
        ]

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, or raise `CommandError` (usage) if its options contradict each other."""
        for rule in (*GLOBAL_RULES, *self.rules):
            rule.check(ctx)
        return super().invoke(ctx)


class Group(click.Group):
    """The commands of luad; each is imported when it is called."""

    def __init__(
        self, entries: Mapping[str, CommandEntry], aliases: Mapping[str, str], **attributes: Any
    ) -> None:
        super().__init__(
            "luad",
            context_settings=CONTEXT,
            subcommand_metavar="COMMAND",
            params=global_options(hidden=False),
            **attributes,
        )
        self.entries = entries
        self.aliases = aliases

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the overview."""
        del ctx
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command *cmd_name*; None if it does not exist."""
        del ctx
        entry = self.entries.get(self.aliases.get(cmd_name, cmd_name))
        if entry is None:
            return None
        command = getattr(import_module(f"luad.cli.commands.{entry.module}"), entry.attribute)
        assert isinstance(command, click.Command), f"{entry} names no command"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first of *args* names; raises `CommandError` (usage) if none does."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is not None or ctx.resilient_parsing:
            return name, command, args[1:]
        from luad.config.schema.foreign_words import command_meant

        meant = command_meant(name)
        if meant in self.entries:
            message = f"`{name}` is not a command; luad calls it `{meant}`"
            hint = f"luad {meant} --help"
            if name == "stop":
                hint += "; Ctrl-C or systemctl stop luad ends the daemon"
            raise CommandError(message, code="usage", hint=hint)
        near = close_to(name, [*self.entries, *self.aliases])
        hint = f"did you mean `luad {near[0]}`?" if near else "luad --help lists the commands"
        raise CommandError(f"`{name}` is not a command", code="usage", hint=hint)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections, then the global options."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.entries.items():
            sections.setdefault(entry.section, []).append((name, entry.help))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(f"{name:<10}", text) for name, text in rows])
        self.format_options_only(ctx, formatter)

    def format_options_only(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options without the list of commands that click appends."""
        rows = [row for param in self.get_params(ctx) if (row := param.get_help_record(ctx))]
        with formatter.section("Options (before or after the command)"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return the completions of *incomplete*; imports no command."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=entry.help)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


def words(values: Sequence[str]) -> list[str]:
    """Return the words of a repeatable option that also takes commas."""
    return [word for value in values for word in value.split(",") if word]
