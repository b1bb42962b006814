"""Imports one user function to see whether it can be used: ``python -m … REFERENCE [PREFIX…]``.

Writes one JSON object to what was its standard output: ``{"is_async": …}``, or ``{"message": …,
"hint": …}`` of a function that cannot be used. What the import prints goes to standard error.
"""

import json
import os
import sys
from collections.abc import Sequence

from podium.agents.runtimes.functions import load
from podium.kernel.errors import AttemptFailed


def main(reference: str, prefixes: Sequence[str]) -> int:
    """Be the child; the exit status."""
    os.environ.pop("PYTHONPATH", None)  # it was for this interpreter, not for what it starts
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        found = {"is_async": load(reference, prefixes).is_async}
    except AttemptFailed as failure:
        found = {"message": failure.message, "hint": failure.hint}
    os.write(answer, json.dumps(found).encode())
    os._exit(0)  # threads that the import started would keep this process alive


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
