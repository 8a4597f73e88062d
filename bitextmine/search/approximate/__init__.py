"""Approximate search: a FAISS index nominates candidates, exact cosines rank them.

In the order in which a search meets them:

- `factory`: all that is known of an index before it exists. Which FAISS factory string stands
  for `ivf` and `hnsw`, how much memory and how many vectors for training an index needs, and
  whether FAISS can build it at all. `search.method` decides by this, without importing FAISS.
- `index`: builds the index over one side, trained on a sample and filled block by block.
- `clustering`: the k-means that sorts vectors into the lists of an index, the same to the bit
  for any number of threads, which FAISS's own is not.
- `lookup`: asks the index over one side for the neighbours of the other, ranks what it gives by
  the exact cosines of the folder `exact`, and joins what both directions found.

There is an index over each side, and each is asked by the other side, so what is searched twice
here is searched once by `exact` and `gpu`. An index, and what is found in it, depend on vectors,
factory string and seed alone: every call of FAISS runs on one thread.
"""
