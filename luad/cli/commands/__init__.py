"""The commands of `luad`, one module for each or for a few that belong together."""
