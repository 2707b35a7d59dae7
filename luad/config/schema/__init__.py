"""JSON Schemas: validation, and its messages."""
