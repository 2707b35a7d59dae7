"""For people who test their own handlers: a luad in the test's own process, on a clock that stands still.

Room rule: the real engine, store, API and handler calls; only the clock and the sending are other ones.
"""
