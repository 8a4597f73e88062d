"""How good encoders and pairs are, on public test sets."""
