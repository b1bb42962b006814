"""The supervisor's entry point where coverage is measured: as a part of Podium."""

import sys

from podium.agents.runtimes.supervision.supervisor import main

main(int(sys.argv[1]), int(sys.argv[2]))
