"""Making a model folder: pulled, merged from an adapter and its base, exported from a package.

The folders are read by `bitextmine.checkpoints` and used by `bitextmine.encoders`, which know
nothing of this folder. Pulling and merging go through `model_folder.make_model`: files appear
whole, an interrupted run goes on, and the manifest comes last.
"""
