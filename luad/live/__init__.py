"""Memory for lookers: recent runs, the event ring, log followers.

Rule: fed with committed records; asks no client; can be rebuilt from the store.
"""
