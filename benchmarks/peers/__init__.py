"""Other engines, each configured as its own documentation recommends for many short tasks."""
