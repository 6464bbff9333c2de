"""The package `faults` is imported from the folder of the tests, as `make fault-test` does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
