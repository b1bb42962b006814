"""What the exit statuses of ``python -m podium.server`` mean."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """How a process ended."""

    DONE = 0
    """It was asked to stop, and did."""
    FAILED = 1
    """It could not start or go on; the reason is on standard error and in the log."""
    USAGE = 2
    """The command line was wrong."""
    ALREADY_RUNS = 6
    """Another ``up`` runs on the same data directory, and this one was for the foreground or asked
    for something else. The number is what the CLI gives to whatever its state forbids."""
    IDLE = 10
    """The API process of ``up --idle``: there has been nothing to do for long enough."""
    ORPHANED = 11
    """A child whose supervisor is gone and which did not manage to stop in order."""
