"""The project of the working directory: its files, its settings and its daemon."""
