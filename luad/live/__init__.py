"""Memory of the daemon for readers: recent runs, the event ring, log followers.

Rule: the daemon feeds it with committed records; the store can rebuild it.
"""
