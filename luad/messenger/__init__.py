"""Brings messages to the services people read.

Room rule: one outside thing, the services; outcomes are reported, never interpreted.
"""
