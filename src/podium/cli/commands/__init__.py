"""One module for each command; see ``podium.cli.app`` for their names."""
