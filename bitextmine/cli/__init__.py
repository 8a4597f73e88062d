"""The command line: flags become a config at once, then one library call.

`main` has the commands of mining, `models`, `evaluate` and `train` theirs; `flags` draws
options from the fields of a config; `terminal` is what surrounds every command: exit codes,
errors in two lines, signals.
"""
