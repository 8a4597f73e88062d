"""Pairs -> files: five formats, any compression, whole or not at all."""
