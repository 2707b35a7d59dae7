"""Handlers that ship with luad, for jobs without Python code.

Rule: the standard library and small parts of luad only, because every run imports its handler in a new
process. A handler takes its parameters from ``metadata``, refuses invalid ones with a message that says
what to write, and returns JSON.

    luad.handlers.shell:run        a command line, as in a crontab
    luad.handlers.http:check       check that a URL answers in time, with the right status
    luad.handlers.files:prune      remove old files
    luad.handlers.disk:usage       fail when a disk fills up
    luad.handlers.sqlite:backup    copy a live SQLite database, check the copy, rotate
    luad.handlers.report:summary   print a report of the daemon's runs
"""
