"""Processes for runs: start, limit, stop, collect, report.

Rule: ends are reported, never interpreted; what a run's end means is the engine's affair.

Three kinds of process work together. The daemon (`runner`) asks one warm *spawner* for each
attempt; the spawner forks a *keeper*, which forks the *handler*, watches over it and reports to
the daemon over a socket of its own. This file imports nothing: the spawner's children pay for
every module that is loaded before they are forked.
"""
