"""The command line: flags become a config at once, then one library call."""
