"""Entry point: ``python -I -S start.py STDIN_FD STATUS_FD``. Small, because it is never cached."""

import sys
from os.path import dirname

# The folder above, so that this one is a package of its own and Podium is not imported.
sys.path.append(dirname(dirname(__file__)))  # noqa: PTH120 - pathlib takes as long as Python itself

from supervision.supervisor import main  # pyright: ignore  # noqa: PGH003

main(int(sys.argv[1]), int(sys.argv[2]))
