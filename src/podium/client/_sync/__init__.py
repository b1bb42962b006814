# Generated from ../_async/__init__.py by scripts/client_code.py; change that file.
"""The SDK. ``podium.client._sync`` is generated from this package by scripts/client_code.py."""
