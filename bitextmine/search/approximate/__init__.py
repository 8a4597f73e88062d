"""Approximate search: a FAISS index nominates, exact cosines rank."""
