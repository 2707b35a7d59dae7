"""The project around the working folder: files, settings, its daemon."""
