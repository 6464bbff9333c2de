"""Whole runs from a config: what a run records, sweeps, ablations, comparisons."""
