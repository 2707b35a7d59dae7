"""How a database of an older luad becomes one of today: one script a revision, in `versions`."""
