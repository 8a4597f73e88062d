"""Exact two-way search on a CPU, and what an exact cosine is on any machine.

In the order in which a search meets them:

- `two_way`: the door. `two_way_neighbours` takes the vectors of both sides and returns their
  nearest neighbours, both ways; for a GPU it hands the work to the folder `gpu`.
- `side`: a `SearchSide` sorts the vectors of one side by sentence number, measures their
  lengths, and defines the exact cosine of a pair.
- `precision`: in which number format the large products run, and how far a similarity that
  they give can be from the exact cosine.
- `workers`: threads that share out the blocks, one core each.
- `score_block`: computes one block of similarities, and nominates candidates along its rows
  and along its columns.
- `shortlists`: the candidates of a block of rows, each packed into one sortable integer.
- `proof`: ranks the candidates by exact cosines, finds the rows where that proves nothing, and
  searches those again in float64.

Inside a search a sentence has a *position*: the rank of its number among the numbers searched.
A *similarity* comes from a fast product and only nominates; a *cosine* is exact. The folders `gpu`
and `approximate` build on `side` and `shortlists`, so all three rank by the same bits.
"""
