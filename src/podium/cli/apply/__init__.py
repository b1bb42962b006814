"""``podium apply`` and ``podium export``: what there is to be, as YAML in files."""
