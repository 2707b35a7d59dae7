"""The pure core: it decides, and does nothing.

Room rule: nothing in here imports anything of luad outside ``luad.core``, reads a clock,
a file, a socket or a random source. Time comes in as an argument, decisions go out as values.
"""
