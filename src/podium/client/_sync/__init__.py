# Generated from ../_async/__init__.py by scripts/generate_client.py; change that file.
"""The SDK. ``podium.client._sync`` is generated from this package by scripts/generate_client.py."""
