"""Handlers that ship with luad: real jobs without a line of Python.

Rule: the standard library and small parts of luad only, because every run imports its handler
in a fresh process. A handler takes its parameters from ``metadata``, refuses what it does not
understand with a sentence that says what to write, and returns JSON.

    luad.handlers.shell:run        a command line, as in a crontab
    luad.handlers.http:check       does a URL answer, in time, with the right status
    luad.handlers.files:prune      remove old files
    luad.handlers.disk:usage       fail when a disk fills up
    luad.handlers.sqlite:backup    copy a live SQLite database, check the copy, rotate
    luad.handlers.report:summary   what this daemon ran, as text
"""
