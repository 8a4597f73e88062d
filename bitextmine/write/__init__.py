"""Pairs -> files: five formats, any compression, whole or not at all.

`records` says what is told of a pair, once for all formats; `options` what the user chose;
`tables`, `jsonl` and `tmx` are the formats; `destination` opens what they are written to;
`rejects` names every line that is no sentence. `stage` fetches the texts, writes, and finishes
the run card.
"""
