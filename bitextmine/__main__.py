"""``python -m bitextmine`` is the command ``bitextmine``."""

from bitextmine.cli.main import main

main(prog_name="bitextmine")
