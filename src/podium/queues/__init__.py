"""Queues of a project: how much of each may run, how fast it may start, and whether it does."""
