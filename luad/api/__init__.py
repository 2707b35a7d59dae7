"""HTTP on a Unix socket and over TCP: each request becomes an event, and its reply the answer.

Rule: decides nothing about jobs. `service` says what is needed of the daemon, `views` what the
answers look like, `server` how they travel; docs/reference/http-api.md is the contract.
"""
