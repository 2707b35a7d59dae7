"""Output for users: text, tables, times, help topics, progress."""
