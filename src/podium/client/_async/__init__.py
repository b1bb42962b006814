"""The SDK. ``podium.client._sync`` is generated from this package by scripts/client_code.py."""
