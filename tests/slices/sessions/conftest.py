"""The desk at which tasks are handed in, for sessions."""

from slices.tasks.conftest import own_desk, settings

__all__ = ["own_desk", "settings"]
