"""Templates: tasks with parameters, a prompt and versions, ready to be started."""
