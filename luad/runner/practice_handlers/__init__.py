"""A folder of handlers for practice; it is the `handlers_path` of `luad.runner.practice`."""
