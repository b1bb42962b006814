"""Stands for ``supervision/start.py`` where the supervisors of commands are measured."""

import runpy
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # isolated, so Python does not add it

import processes

processes.measure()
runpy.run_path(str(processes.ROOT / "src/podium/agents/runtimes/supervision/start.py"))
