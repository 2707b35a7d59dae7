"""The embedded backend: connections, the writer thread, checkpoints, migrations."""
