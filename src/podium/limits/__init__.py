"""Limits that tasks name: how many of those that name one run at once, and how fast they start."""
