"""luad.yaml, variables and flags: the settings of the daemon."""
