"""YAML bytes to plain values, with the place of each."""
