"""Reading a model folder: what is in it, and what that means.

`layout` knows its files, `hub` fetches them, `description` says how sentences become vectors,
`tensors` has the weights, `manifest` hashes that tell one model from another.
"""
