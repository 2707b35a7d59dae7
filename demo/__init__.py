"""A demonstration: a shop's jobs, with a history that luad's own engine made."""
