"""All classes of the suite, and the imports that the forks share."""

import importlib

from faults import kills, signals

# What the tools import, so that a fork has it already
for _name in (
    "maskrcnn_benchmark.engine.run",
    "maskrcnn_benchmark.engine.comparison_files",
    "maskrcnn_benchmark.engine.open_dataset",
    "maskrcnn_benchmark.engine.score_files",
    "maskrcnn_benchmark.data.preparation.build_index",
    "maskrcnn_benchmark.data.statistics",
    "maskrcnn_benchmark.predict.predictor",
    "maskrcnn_benchmark.predict.output",
    "maskrcnn_benchmark.export.export",
    "maskrcnn_benchmark.visualization.dataset_page",
    "torch.utils.tensorboard",
):
    importlib.import_module(_name)

CLASSES = [*kills.CLASSES, *signals.CLASSES]
