"""Fixtures of this slice."""

from homes import home, made_home

__all__ = ["home", "made_home"]
