"""Input: the bytes of files and API bodies, to jobs, users, settings and problems.

Rule: bytes in, values out; opens no file.
"""
