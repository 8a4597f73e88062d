"""Neighbours -> pairs, best first, and what became of every sentence."""
