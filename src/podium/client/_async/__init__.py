"""The SDK. ``podium.client._sync`` is generated from this package by scripts/generate_client.py."""
