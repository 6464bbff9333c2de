"""Measuring predictions against annotations: one evaluator per task, the trivial predictor, the report."""
