"""HTTP on a Unix socket: turns a request into an event and waits for its answer.

Room rule: decides nothing about jobs. `service` says what is needed of the daemon, `views` what the
answers look like, `server` how they travel; docs/reference/http-api.md is the contract.
"""
