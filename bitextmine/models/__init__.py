"""Making a model folder: pull, merge, export."""
