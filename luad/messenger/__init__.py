"""Sends messages to the services of users.

Rule: it talks to those services alone; it reports outcomes and does not interpret them.
"""
