"""Lets the tests of this folder import what they share, and the content of the tiny data set's file."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def content(tiny):
    return json.loads((tiny / "annotations.json").read_text())
