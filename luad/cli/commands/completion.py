"""`luad completion`: the script that teaches a shell to complete luad's words.

Room rule: prints; installs nothing.
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
    """A completion script for the shell; names of jobs and runs are completed too."""
    from click.shell_completion import get_completion_class

    from luad.cli import command_group

    kind = get_completion_class(shell)
    assert kind is not None, shell
    # `source_template` and not `source()`: that runs bash to ask for its version first.
    script = kind(command_group(), {}, "luad", "_LUAD_COMPLETE")
    print(script.source_template % script.source_vars())
    if session.out.is_terminal:
        session.out.say(f"to use it:\n{HOW[shell]}")
