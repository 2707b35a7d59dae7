"""Finds the program that a command line starts, and the reason if it cannot be started.

Rule: the standard library only; used when a command has failed, and by `luad check`.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

_OPERATORS = frozenset("();<>|&")
_OPEN = frozenset("$*?[]{}~!\\'\"#")
"""Characters of a first word that the shell replaces or interprets."""

_WORDS = """
! . : [ [[ { } alias bg break builtin caller case cd chdir command compgen complete continue coproc
declare dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for
function getopts hash help history if in jobs kill let local logout mapfile popd printf pushd pwd
read readarray readonly return select set shift shopt source suspend test then time times trap true
type typeset ulimit umask unalias unset until wait while
"""
_SHELL_WORDS = frozenset(_WORDS.split())
"""The keywords and built-in commands of shells."""


def first_word(line: str) -> str | None:
    """Return the program that *line* starts; None if only the shell can determine it.

    That is the case if the line has operators or further lines, or begins with a keyword, a built-in
    command, or a word that the shell replaces.
    """
    text = line.strip()
    if "\n" in text or "`" in text:
        return None
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:  # a quotation mark that is not closed
        return None
    if any(word and set(word) <= _OPERATORS for word in words):
        return None
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and name.isidentifier():
            if name == "PATH":
                return None
            continue
        return None if word in _SHELL_WORDS or not _OPEN.isdisjoint(word) else word
    return None


def why_missing(word: str, path: str | None, folder: str) -> str:
    """Return the reason why the program *word* cannot be started; empty if it can.

    *path* is the run's PATH, *folder* its working folder.
    """
    if "/" not in word:
        searched = os.defpath if path is None else path
        if shutil.which(word, path=searched) is not None:
            return ""
        return f"`{word}` is not found on the run's PATH ({searched})"
    file = Path(folder, word)
    if not file.exists():
        return f"`{word}` does not exist"
    if file.is_dir() or not os.access(file, os.X_OK):
        return f"`{word}` is not executable"
    interpreter = _interpreter(file)
    if interpreter and not Path(interpreter).exists():
        return f"`{word}` exists, but its interpreter `{interpreter}` does not"
    return ""


def _interpreter(file: Path) -> str:
    """Return the program that the first line of a script names."""
    try:
        with file.open("rb") as stream:
            line = stream.readline(256)
    except OSError:
        return ""
    words = line[2:].split() if line.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else ""
