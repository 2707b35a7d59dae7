"""Whether luad may take orders from a path: only root and luad's own user may write it.

Room rule: looks at status values, access lists and account databases; opens nothing, changes nothing.
Everything that luad acts on passes here: jobs, users, handlers, settings, state, secrets and keys.
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
