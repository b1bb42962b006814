"""Sessions: tasks that people talk to while they run."""
