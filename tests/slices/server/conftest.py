"""Fixtures of this slice."""

from homes import home, made_home, tmp_path

__all__ = ["home", "made_home", "tmp_path"]
