"""The same names as `luad`, blocking: for plain functions and scripts."""
