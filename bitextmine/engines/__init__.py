"""Where tasks run, never what they do."""
