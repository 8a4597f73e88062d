"""Text files -> shards of unique, numbered sentences."""
