"""What goes into an exported network and what comes out: names, shapes and meanings, which the file carries along."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import yaml
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark import __version__
from maskrcnn_benchmark.config.node import drop_options
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.tasks.task import TASKS, Task
from maskrcnn_benchmark.utils.yaml_file import parse_yaml

INPUT_NAME = "image"
# Of a config, what says something about the machine that wrote it rather than about the network
_LEFT_OUT = ("PATHS_CATALOG", "OUTPUT_DIR", "DATASETS.DATA_DIR", "MODEL.WEIGHT", "MODEL.DEVICE")


class Head(NamedTuple):
    """A head of a network.

    Attributes:
        place: its name in the network.
        task: the `Task` whose head it is, None where no task claims it.
        module: the head itself.
        is_regional: whether it has an output for each object.
    """

    place: str
    task: Any
    module: nn.Module
    is_regional: bool


class Signature(NamedTuple):
    """An output of a network: of which task, what it says, and whether there is one for each object."""

    task: Task
    output: ExportedOutput
    per_object: bool


def heads_of(model: Any) -> Iterator[Head]:
    """The heads of a `GeneralizedRCNN`, those on regions first: the order of its outputs."""
    regional = {f"roi_heads.{name}": head for name, head in (model.roi_heads or {}).items()}
    if model.rpn is not None and not regional:
        regional = {"rpn": model.rpn}
    dense = {} if model.fpn_heads is None else model.fpn_heads.heads
    for place, head in (*regional.items(), *((f"fpn_heads.heads.{name}", head) for name, head in dense.items())):
        tasks = [task for task in TASKS.values() if f"{place}.".startswith(task.parameter_prefixes)]
        yield Head(place, tasks[0] if tasks else None, head, place in regional)


def reads_box_features(head: nn.Module) -> bool:
    """Whether a head on regions reads what the box head's feature extractor makes of them, having none of its own."""
    return getattr(head, "feature_extractor", None) is None


def signature_of(model: nn.Module) -> dict[str, Signature]:
    """{name: `Signature`} of all outputs of a `GeneralizedRCNN`, each of whose heads is of a task, in their order."""
    return {
        name: Signature(head.task, output, head.is_regional)
        for head in heads_of(model)
        for name, output in head.task.exported_outputs(head.module).items()
    }


def metadata(network: TrainedNetwork, tasks: Sequence[str]) -> dict[str, str]:
    """What an exported file says about itself: {key: str}, of which all but "version" is JSON or yaml.

    Args:
        network: what is exported.
        tasks: keys of the tasks whose outputs the file has.
    """
    options = network.cfg.INPUT
    convention = {
        "name": INPUT_NAME,
        "dtype": "uint8",
        "shape": "[3, height, width]",
        "colours": "RGB, 0..255; the file itself normalises them and pads the image",
        "min_size": options.MIN_SIZE_TEST,
        "max_size": options.MAX_SIZE_TEST,
        "resize": _resize_words(options),
    }
    outputs = {
        name: {"task": task.key, "shape": output.shape, "meaning": output.meaning}
        for name, (task, output, _) in signature_of(network.model).items()
    }
    return {
        "producer": "maskrcnn_benchmark",
        "version": __version__,
        "tasks": json.dumps(list(tasks)),
        "input": json.dumps(convention),
        "outputs": json.dumps(outputs),
        "vocabulary": json.dumps(network.vocabulary.to_dict()),
        "config": _config_text(network.cfg),
    }


def _config_text(cfg: CfgNode) -> str:
    tree = parse_yaml(cfg.dump(), "the config")
    drop_options(tree, _LEFT_OUT)
    return yaml.safe_dump(tree)


def _resize_words(options):
    if options.CROP:
        return "none: the image's own pixels"
    if options.SQUASH:
        return f"bilinear with antialiasing, to height {options.SQUASH[0]} and width {options.SQUASH[1]}"
    return "bilinear with antialiasing: the shorter side to min_size, unless the longer would exceed max_size"
