"""Reading a model folder: what is in it, and what that means."""
