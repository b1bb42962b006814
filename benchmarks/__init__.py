"""Benchmarks of Podium beside peers: ``python -m benchmarks --help``."""
