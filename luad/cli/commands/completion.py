"""`luad completion`: the completion script for a shell.

Rule: it prints the script and installs nothing.
"""

from __future__ import annotations

from typing import Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.session import Session

HOW: Final = {
    "bash": '  eval "$(luad completion bash)"                 # in ~/.bashrc',
    "zsh": '  eval "$(luad completion zsh)"                  # in ~/.zshrc, after compinit',
    "fish": "  luad completion fish > ~/.config/fish/completions/luad.fish",
}


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(list(HOW)))
@pass_session
def completion(session: Session, *, shell: str) -> None:
    """Print a completion script for the shell; it completes names of jobs and runs as well."""
    from click.shell_completion import get_completion_class

    from luad.cli import command_group

    kind = get_completion_class(shell)
    assert kind is not None, shell
    # `source_template`, because `source()` would run bash to get its version.
    script = kind(command_group(), {}, "luad", "_LUAD_COMPLETE")
    print(script.source_template % script.source_vars())
    if session.out.is_terminal:
        session.out.info(f"to use it:\n{HOW[shell]}")
