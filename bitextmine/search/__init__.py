"""Finding the k nearest sentences on the other side, for every sentence of both sides."""
