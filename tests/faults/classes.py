"""All classes of the suite, and the imports that the forks share."""

import importlib

from faults import demo_probe, disk, errors, kills, limits, ranks, signals, workers
from faults.mutations import (
    annotations,
    archives,
    checkpoints,
    images,
    index,
    options,
    predictions,
    runs,
    weights,
    yaml_files,
)

# What the tools import, so that a fork has it already
for _name in (
    "maskrcnn_benchmark.experiments.run",
    "maskrcnn_benchmark.experiments.comparison_files",
    "maskrcnn_benchmark.experiments.open_dataset",
    "maskrcnn_benchmark.engine.score_files",
    "maskrcnn_benchmark.data.preparation.build_index",
    "maskrcnn_benchmark.data.statistics",
    "maskrcnn_benchmark.predict.predictor",
    "maskrcnn_benchmark.predict.output",
    "maskrcnn_benchmark.export.export",
    "maskrcnn_benchmark.visualization.dataset_page",
    "maskrcnn_benchmark.demo.uploads",
    "torch.utils.tensorboard",
    "torch._dynamo",
    "torch._functorch.aot_autograd",
    "torch.export.passes",
    "onnxruntime",
):
    importlib.import_module(_name)

MUTATIONS = [annotations, checkpoints, weights, index, images, predictions, runs, yaml_files, options, archives]
OTHERS = [demo_probe, kills, signals, workers, errors, ranks, disk, limits]
CLASSES = [each for module in (*OTHERS, *MUTATIONS) for each in module.CLASSES]
