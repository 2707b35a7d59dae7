"""Brings messages to the services people read.

Rule: one outside thing, the services; outcomes are reported, never interpreted.
"""
