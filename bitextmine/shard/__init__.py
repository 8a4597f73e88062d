"""Text files -> shards of unique, numbered sentences.

In the order of the journey: `corpus` reads the lines of a file in any of five formats, `split`
drops each into one of 4096 buckets by its hash (`buckets`: their form on disk), `build` makes a
shard of some buckets and drops the duplicates, `numbering` ranks the sentences of a side, and
`sentences` reads the finished shards back. `stage` puts them in a row.
"""
