"""What every slice stands on: ids, errors, settings, clocks, telemetry."""
