"""Cron lines: reading, the search for the next match, words, time zones."""
