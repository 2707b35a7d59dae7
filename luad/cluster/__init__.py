"""Several machines, one schedule: shards, inbox, turns, and the judgement about silent workers.

Rule: PostgreSQL says which node decides for a shard; nothing that matters is only in memory.
"""
