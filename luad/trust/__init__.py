"""Checks that only root and luad's own user can write the files that luad acts on.

Rule: reads status values, access lists and account databases; opens no file and changes nothing.
It checks jobs, users, handlers, settings, state, secrets and keys.
"""

from luad.trust.accounts import forget_accounts, is_private_group
from luad.trust.rule import file_problem, folder_problem, path_problem
from luad.trust.tree import CodeTree

__all__ = [
    "CodeTree",
    "file_problem",
    "folder_problem",
    "forget_accounts",
    "is_private_group",
    "path_problem",
]
