"""The embedded encoder use-m3: tokens, weights, windows."""
