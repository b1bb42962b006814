"""Fixtures of the fault suites."""

from homes import tmp_path

__all__ = ["tmp_path"]
