"""The groups that may write job files, and whether each is private to luad's user.

Rule: asks the account databases, and no file.
"""

from __future__ import annotations

import os
import stat

from luad.trust import forget_accounts, is_private_group


class WritingGroups:
    """The groups of the files that were read, as the account databases had them then."""

    def __init__(self) -> None:
        self._private: dict[int, bool] = {}

    def restore(self, gid: int) -> None:
        """Note a group of a stored file: it was private, or the file would have been refused."""
        self._private[gid] = True

    def of_file(self, status: os.stat_result | None) -> int | None:
        """Return the group that may write a file, and remember whether it is private."""
        if status is None or not status.st_mode & stat.S_IWGRP:
            return None
        self._private[status.st_gid] = is_private_group(status.st_gid, os.geteuid())
        return status.st_gid

    def changed(self) -> set[int]:
        """Ask the account databases again; return the groups whose files must be read again."""
        forget_accounts()
        user = os.geteuid()
        return {gid for gid, was in self._private.items() if is_private_group(gid, user) != was}
