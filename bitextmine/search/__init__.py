"""Rows of vectors -> the k nearest sentences of every sentence, both ways.

`method` decides between exact search and an index, `grid` cuts both sides into panels that fit
the memory, `panels` keeps the grid and the lists of a work directory, `tasks` are what an
engine runs, `rows` are the vectors of several shards as one array, `neighbours` the lists in
memory, on disk, merged. `stage` puts them in a row. The machines that find neighbours are
`exact` (processor), `gpu` (the same to the bit) and `approximate` (FAISS nominates, exact
cosines rank).
"""
