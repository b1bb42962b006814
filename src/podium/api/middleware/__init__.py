"""What every request passes through, outermost first: observe, guard, limit, authenticate."""
