"""Encoders: sentences in, unit vectors out.

`base` says what an encoder is, `registry` which ones have a name, `locate` where a checkpoint is.
`spec` settles which encoder a run uses and loads it: begin there. The embedded encoders are
`use_m3` and `e5_small`; `transformer` runs all checkpoints.
"""
