"""The process that runs attempts: claim, run the agent, settle."""
