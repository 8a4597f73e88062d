"""Sentences -> rows of vectors on disk."""
