"""What runs around an agent's processes, outside Podium's own process.

Everything in this folder uses the standard library alone and few of its modules: each attempt
starts a fresh interpreter with it (``start.py``), so every import is paid on every attempt.
The files import each other relatively: to them this folder is a package of its own, and Podium is
not on the path.
"""
