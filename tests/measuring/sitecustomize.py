"""Measures the commands of Podium that tests start: Python loads this module when it starts.

The API and workers start too slowly when they are measured. What they run the tests also run in
their own processes.
"""

import sys

_MODULES = [word for word in sys.orig_argv if word.startswith("podium.")]

if _MODULES and not {"server", "worker"}.intersection(sys.orig_argv):
    import processes

    processes.measure()
