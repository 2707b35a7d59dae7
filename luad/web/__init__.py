"""Pages for browsers: what is wrong, what runs, what comes next, and the few actions that follow.

Rule: the pages ask the API's own routes, inside the process and with the rights of the session, so they
show nothing that a client of the API cannot get.
"""
