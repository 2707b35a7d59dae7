"""Output for people: text, tables, times, help topics, progress."""
