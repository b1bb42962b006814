"""Filters of tasks that a project keeps under a name."""
