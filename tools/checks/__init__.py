"""What `tools/check_device.py` runs on a machine: a module per stage, and how stages are run and reported."""
