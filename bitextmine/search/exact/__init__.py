"""Exact search on a processor: nominate by fast products, rank by exact cosines, prove."""
