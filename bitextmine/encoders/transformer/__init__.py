"""Encoders that are transformer checkpoints: described by their own files, run without padding.

A window of sentences goes from `tokens` to `batches`, which lie end to end, to a `runners` of the
device, and there through the `network`: `backbone` (`flat_t5`, `flat_bert` or as transformers has
it), pooling and `heads`. `encoder` puts all of it together.
"""
