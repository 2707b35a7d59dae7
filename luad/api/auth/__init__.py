"""Tokens, roles, and the rules for remote clients."""
