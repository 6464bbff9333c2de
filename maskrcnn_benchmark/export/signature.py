"""What goes into an exported network and what comes out: names, shapes and meanings, which the file carries along."""

import json
from dataclasses import dataclass

import yaml

from maskrcnn_benchmark import __version__
from maskrcnn_benchmark.config.node import drop_options
from maskrcnn_benchmark.utils.yaml_file import parse_yaml

INPUT_NAME = "image"
# Of a config, what says something about the machine that wrote it rather than about the network
_LEFT_OUT = ("PATHS_CATALOG", "OUTPUT_DIR", "DATASETS.DATA_DIR", "MODEL.WEIGHT", "MODEL.DEVICE")


@dataclass(frozen=True)
class Output:
    """One output of an exported network.

    Attributes:
        task: key of the task that it answers.
        shape: its dtype and shape, for people.
        meaning: in one sentence.
    """

    task: str
    shape: str
    meaning: str


OUTPUTS = {
    "boxes": Output(
        "detection",
        "float32 [objects, 4]",
        "x1, y1, x2, y2 in pixels of the input; the last pixel is inside, so that a width is x2 - x1 + 1",
    ),
    "scores": Output("detection", "float32 [objects]", "probability of the label"),
    "labels": Output(
        "detection", "int64 [objects]", "label k is vocabulary.thing_names[k - 1]; objects stand by label"
    ),
    "masks": Output("instance", "float32 [objects, M, M]", "probability of the object in the cells of its box"),
    "keypoints": Output("keypoint", "float32 [objects, K, 3]", "x, y in pixels of the input and 1; 0, 0, 0: no person"),
    "keypoint_scores": Output("keypoint", "float32 [objects, K]", "the heat map's logit there; 0: no person"),
    "parts": Output("part", "float32 [objects, P + 1, R, R]", "probabilities in the cells of the box; 0 is background"),
    "semantic": Output("semantic", "float32 [C, height, width]", "logits of vocabulary.semantic_names"),
    "part_map": Output("part", "float32 [P + 1, height, width]", "logits of the part labels; 0 is background"),
    "boundary": Output("boundary", "float32 [height, width]", "probability of a boundary"),
    "occlusion": Output(
        "occlusion",
        "float32 [3, height, width]",
        "probability of an occlusion edge, sine and cosine of its direction, which has the occluder on its left",
    ),
    "classes": Output("classification", "float32 [L]", "probabilities of vocabulary.image_label_names"),
}


def metadata(network, tasks, outputs):
    """What an exported file says about itself: {key: str}, of which all but "version" is JSON or yaml.

    Args:
        network: `predict.TrainedNetwork`.
        tasks: keys of the tasks that the file answers.
        outputs: names of its outputs.
    """
    options = network.cfg.INPUT
    convention = {
        "name": INPUT_NAME,
        "dtype": "uint8",
        "shape": "[3, height, width]",
        "colours": "RGB, 0..255; the file itself normalises them and pads the image",
        "min_size": options.MIN_SIZE_TEST,
        "max_size": options.MAX_SIZE_TEST,
        "resize": "bilinear with antialiasing: the shorter side to min_size, unless the longer would exceed max_size",
    }
    return {
        "producer": "maskrcnn_benchmark",
        "version": __version__,
        "tasks": json.dumps(list(tasks)),
        "input": json.dumps(convention),
        "outputs": json.dumps({name: vars(OUTPUTS[name]) for name in outputs}),
        "vocabulary": json.dumps(network.vocabulary.to_dict()),
        "config": _config_text(network.cfg),
    }


def _config_text(cfg):
    tree = parse_yaml(cfg.dump(), "the config")
    drop_options(tree, _LEFT_OUT)
    return yaml.safe_dump(tree)
