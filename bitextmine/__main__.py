"""``python -m bitextmine`` is the command ``bitextmine``."""

from bitextmine.cli import main

main(prog_name="bitextmine")
