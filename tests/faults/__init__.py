"""The fault suite: kills, signals, full disks, dead workers and damaged files, tried on the tools with seeds.

`make fault-test` runs it; it is no part of `make test`. See docs/faults.md.
"""
