"""Encoders that are transformer checkpoints: described by their own files, run without padding."""
