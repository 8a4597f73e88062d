"""Neighbours -> pairs, best first, and what became of every sentence.

`margin` scores a candidate against its neighbourhoods, `candidates` lets each sentence vote for
its best one, `choose` makes pairs of the votes by one of five retrievals, `outcomes` keeps what
became of each sentence, `pairs` and `sorting` hold and order more pairs than memory does.
`threshold` tells where the least score comes from. `stage` puts them in a row.
"""
