"""The HTTP door: assembly, errors, what every request passes through, streams, documents."""
