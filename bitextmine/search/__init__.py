"""Rows of vectors -> the k nearest sentences of every sentence, both ways."""
