"""Processes for runs: start, limit, stop, collect, report.

Rule: the runner reports how a run ends, and the engine decides what that means.

Three kinds of process work together. The daemon (`runner`) asks one warm *spawner* for each
attempt. The spawner forks a *keeper*, which forks the *handler*, supervises it and reports to
the daemon over a socket of its own. This file imports nothing, because each module that the spawner
loads makes every fork slower.
"""
