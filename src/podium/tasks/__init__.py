"""The public face of tasks: create, list, read, edit, explain, history."""
