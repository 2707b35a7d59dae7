"""The mark of failures that luad does not retry.

Rule: cheap to import, because every handler's process pays for it.
"""


class NotRetryable(Exception):  # noqa: N818 - a mark on other exceptions
    """A failure that another attempt cannot cure; luad does not retry the run."""
