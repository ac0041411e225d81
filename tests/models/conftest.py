"""Puts ``tests/`` on the path, for the made checkpoints that several suites share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
