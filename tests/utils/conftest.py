"""Lets the tests of this folder import the module that they run in other processes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
