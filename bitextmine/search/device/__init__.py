"""Exact search on a GPU: in `engine`, `panels` meet chunks that `feed` brings, block by block."""
