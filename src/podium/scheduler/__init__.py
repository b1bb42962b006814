"""The engine: accepts tasks, holds them at their gates, gives them to workers, settles them."""
