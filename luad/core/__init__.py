"""The pure core: it gets events and the time, and returns effects.

Rule: no module here imports anything of luad outside ``luad.core``, or reads a clock, a file, a socket
or a random source. Time is an argument, and decisions are values.
"""
