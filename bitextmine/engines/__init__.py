"""Where tasks run: in this process, on several devices."""
