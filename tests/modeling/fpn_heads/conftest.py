"""Lets the tests of this folder import their common `exchange_training`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
