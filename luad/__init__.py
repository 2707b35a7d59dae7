"""luad: a declarative job scheduler daemon."""

__version__ = "0.1.0"
