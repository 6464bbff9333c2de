"""The training loop and the inference loop."""
