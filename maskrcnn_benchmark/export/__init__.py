"""A trained network as a file that runs without this package: ONNX, or a program of `torch.export`."""
