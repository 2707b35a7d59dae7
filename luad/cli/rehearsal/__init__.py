"""Test runs without a daemon, for `luad test`."""
