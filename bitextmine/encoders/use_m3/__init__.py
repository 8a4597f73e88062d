"""The embedded encoder use-m3: `m3_encoder`, with its tokens, weights and windows.

It computes what the package with the weights computes, in a third of the arithmetic.
"""
