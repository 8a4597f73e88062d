"""Sentences -> rows of vectors on disk.

`choice` decides which encoder a run uses and why; `row_format` what a stored row looks like;
`projection` fits the matrix of shorter rows on a sample. `shards` encodes a shard chunk by
chunk, into a file that is told of in `attempt`; `vectors` is what the search is handed. `stage`
puts them in a row.
"""
