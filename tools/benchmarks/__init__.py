"""What `tools/benchmark.py` measures, a module per subject, and what they share."""
