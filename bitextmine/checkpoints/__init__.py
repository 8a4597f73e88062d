"""Checkpoints on disk: found, fetched, merged, written, and identified by their contents."""
