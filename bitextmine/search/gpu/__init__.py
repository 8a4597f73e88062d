"""Exact search on a GPU: in `device_search`, resident rows meet chunks that `feed` brings."""
