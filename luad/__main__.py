"""`python -m luad` is `luad`."""

from luad.cli import run

run()
