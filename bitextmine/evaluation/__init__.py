"""How good encoders and pairs are, on public test sets.

`trials` finds and loads the models of an evaluation, one after the other. The test sets:
`tatoeba` (who finds whose translation; `tatoeba_report` for several models), `xsim` (the same
by margins), `xsts` (do cosines rank as people do), `bucc` (how right are mined pairs;
`bucc_task` reads one, `bucc_mining` mines it, `bucc_report` tells, `threshold_curve` draws).
`gold_files` reads test files strictly, `report` writes tables, JSON and CSV.
"""
