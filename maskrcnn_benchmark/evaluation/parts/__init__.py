"""Part segmentation: by pixels and by persons."""
