"""Shared processes: each executes many runs at once, for jobs with `isolation: shared`.

Rule: the daemon's side (`pool`, `link`) starts no handler, and the process's side (`keeper`, `process` and
below) knows no engine. Both sides speak in the values of `messages`.

The daemon starts a *keeper* for each shared process. The keeper forks the shared process, reads what it writes
on its own, and ends what it leaves. Runs and their news travel between the daemon and the shared process
directly. In a shared process the main thread is the *courier*: it reads messages, watches time limits and
sends news. Coroutine functions run on one event loop in a second thread, and plain functions in a pool of
threads.
"""
