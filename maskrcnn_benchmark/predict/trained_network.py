"""From a checkpoint to the network that made it: its config, its names and its weights, with nothing else needed."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.config.paths_catalog import is_own_catalog
from maskrcnn_benchmark.config.torchvision_networks import options_of_file
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary
from maskrcnn_benchmark.data.build_dataset import check_files
from maskrcnn_benchmark.data.known_names import known_vocabulary
from maskrcnn_benchmark.modeling.backbone import bind_backbone
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.predict.taken_options import check_names, take_options
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.devices import AUTO, resolve_device
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.model_serialization import load_state_dict, match_names, side_by_side
from maskrcnn_benchmark.utils.model_zoo import local_file
from maskrcnn_benchmark.utils.schema import Unfit
from maskrcnn_benchmark.utils.text import printable
from maskrcnn_benchmark.utils.weights.fitting_weights import fitting_weights
from maskrcnn_benchmark.utils.weights.tensor_check import check_weights
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint
from maskrcnn_benchmark.utils.yaml_file import parse_yaml, read_yaml

logger = logging.getLogger(__name__)

_ANOTHER_CONFIG = "name another with --config-file FILE"
CONFIG_BESIDE = "config.yml"  # what a run leaves in the folder of its checkpoints
# Bytes of a network's parameters for each byte of the file that fills them: one tensor may fill several, as the layers
# that two heads share
_BYTES_PER_BYTE = 4
_SMALL = 64 << 20

# Tensors of a state dict that other libraries do not write, for they are computed and not learned
_MADE_ANEW = ("cell_anchors.", "num_batches_tracked")


@dataclass(frozen=True)
class TrainedNetwork:
    """A network ready to predict.

    Attributes:
        model: `GeneralizedRCNN` in evaluation mode, on its device.
        cfg: its config, class counts filled in.
        vocabulary: the `Vocabulary` that names its labels.
        path: the file that its weights are from.
    """

    model: nn.Module
    cfg: ConfigNode
    vocabulary: Vocabulary
    path: str


def load_network(
    path: str | os.PathLike, config_file: str = "", options: Sequence = (), device: str | torch.device | None = None
) -> TrainedNetwork:
    """The network of a checkpoint.

    A checkpoint of this library carries its config and its names. One that does not takes its config from
    `config_file` or, without one, from a `config.yml` beside it, and its names from the data set that the config was
    trained on: COCO, PASCAL VOC and Cityscapes are known, any other has to be in place. torchvision's detectors are
    known by the names of their files and need neither.

    Of a config that came along with the weights only what `predict.taken_options` lists is taken, within its bounds;
    `config_file` and `options` are the user's, who is believed.

    Args:
        path: a file, an address, a name of the catalog or torchvision://NAME (docs/weights.md).
        config_file: a yaml in place of the checkpoint's own config.
        options: KEY, VALUE, KEY, VALUE, ... to change in it.
        device: "cpu", "cuda", "cuda:1", ...; None takes the MODEL.DEVICE of the options, else a GPU where there is
            one.

    Raises:
        UserError: the file is no whole network of its config, or there is no config or no names for it.
    """
    of_options = dict(zip(options[::2], options[1::2])).get("MODEL.DEVICE")
    if device is None and of_options is not None:
        device = resolve_device(of_options, "MODEL.DEVICE")
    else:
        device = choose_device(device)
    file = local_file(str(path))
    checkpoint = read_checkpoint(file)
    cfg = config_of(file, checkpoint, config_file, options)
    cfg.MODEL.DEVICE = str(device)
    bind_backbone(cfg)
    vocabulary = vocabulary_of(file, checkpoint, cfg)
    try:
        bind_vocabulary(cfg, vocabulary)
    except UserError as error:
        raise UserError(f"{file}: its classes are not those that its config counts ({error})") from None
    with torch.device("meta"):  # takes no memory, whatever sizes the config asks for
        skeleton = build_detection_model(cfg, vocabulary)
    weights, _ = fitting_weights(skeleton, cfg, checkpoint, file)
    _check_complete(skeleton, weights, file)
    check_weights(skeleton, weights, file)
    model = build_detection_model(cfg, vocabulary)
    load_state_dict(model, weights)
    return TrainedNetwork(model.to(device).eval(), cfg, vocabulary, str(path))


def testing_config(path: str | os.PathLike, options: Sequence[Any] = ()) -> tuple[ConfigNode, Vocabulary | None]:
    """What a test of a checkpoint needs that the checkpoint carries.

    Results go to the folder of the checkpoint unless the options name another OUTPUT_DIR.

    Args:
        path, options: as `load_network` takes them.

    Returns:
        (the config, the `Vocabulary` or None where the file has none).
    """
    file = local_file(str(path))
    checkpoint = read_checkpoint(file, mapped=True)
    cfg = config_of(file, checkpoint, options=options)
    _check_data(cfg, file, checkpoint)
    if not cfg.is_given("MODEL.DEVICE"):
        cfg.MODEL.DEVICE = AUTO
    if not cfg.is_given("OUTPUT_DIR"):
        cfg.OUTPUT_DIR = str(Path(file).parent)
    return cfg, vocabulary_in(file, checkpoint)


def _check_data(cfg, file, rest):
    """Say of data sets that are not there where the training found them: a checkpoint is no authority on files."""
    try:
        check_files(cfg, cfg.DATASETS.TEST)
    except UserError as error:
        text = rest.get("config")
        tree = read_yaml(Path(file).with_name(CONFIG_BESIDE)) if text is None else parse_yaml(text, file)
        places = {"PATHS_CATALOG": tree.get("PATHS_CATALOG"), "DATASETS.DATA_DIR": _data_dir(tree)}
        if is_own_catalog(places["PATHS_CATALOG"]):
            del places["PATHS_CATALOG"]
        given = [
            f"{key} {printable(place)}"
            for key, place in places.items()
            if isinstance(place, str) and place != cfg.value_of(key) and not cfg.is_given(key)
        ]
        if not given:
            raise
        raise UserError(
            f"{error}; {file} was trained with {' '.join(given)}, which is not taken from a checkpoint: give it again"
        ) from None


def _data_dir(tree):
    datasets = tree.get("DATASETS")
    return datasets.get("DATA_DIR") if isinstance(datasets, dict) else None


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The `torch.device` of a name, or the best there is: `utils.devices.resolve_device` of --device."""
    return resolve_device(AUTO if name is None else name, "--device")


def config_of(file: str, rest: dict[str, Any], config_file: str = "", options: Sequence[Any] = ()) -> ConfigNode:
    """The config for a checkpoint.

    Args:
        file: its path.
        rest: what it holds, with or without its weights.
        config_file, options: as `load_network` takes them.
    """
    cfg = default_cfg.clone()
    beside = Path(file).with_name(CONFIG_BESIDE)
    given = [str(key) for key in options[::2]]
    vocabulary = vocabulary_in(file, rest)
    if config_file:
        cfg.merge_from_file(config_file)
    elif rest.get("config") is not None:
        if not isinstance(rest["config"], str):
            raise UserError(f"{file}: its entry 'config' is damaged: it is no text; {_ANOTHER_CONFIG}")
        source = f"the config in {file}"
        _merge_tree(cfg, parse_yaml(rest["config"], source, _ANOTHER_CONFIG), source, given, vocabulary)
    elif beside.is_file():
        logger.info("%s carries no config; taking %s", file, beside)
        _merge_tree(cfg, read_yaml(beside), str(beside), given, vocabulary)
    elif known := options_of_file(file):
        logger.info("%s is known by its name as a detector of torchvision", file)
        cfg.merge_from_list([word for option in known.items() for word in option])
    else:
        raise UserError(f"{file} carries no config, and there is no {beside}; name one with --config-file FILE")
    cfg.merge_from_list(options)
    return cfg


def vocabulary_in(file: object, rest: dict) -> Vocabulary | None:
    """The `Vocabulary` that a checkpoint carries, or None.

    Raises `UserError` for one that is damaged or far too large.
    """
    if rest.get("vocabulary") is None:
        return None
    try:
        vocabulary = Vocabulary.from_dict(rest["vocabulary"])
    except Unfit as fault:
        raise UserError(f"{file}: its entry 'vocabulary' is damaged: {fault}; take another checkpoint") from None
    check_names(vocabulary, str(file))
    return vocabulary


def vocabulary_of(file: str, rest: dict[str, Any], cfg: ConfigNode) -> Vocabulary:
    """The names of a checkpoint's labels: its own, else those of the data set that its config was trained on."""
    vocabulary = vocabulary_in(file, rest)
    if vocabulary is not None:
        return vocabulary
    names = [name for name in (cfg.DATASETS.VOCABULARY, *cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST) if name]
    known = next((found for found in map(known_vocabulary, names) if found is not None), None)
    if known is not None:
        return known
    if not names:
        raise UserError(f"{file} does not name its classes; say what it was trained on with the option DATASETS.TRAIN")
    try:
        return load_vocabulary(cfg)
    except UserError as error:
        raise UserError(
            f"{file} does not name its classes, and data set {names[0]}, which does, is not here ({error})"
        ) from None


def _merge_tree(cfg, tree, source, given, vocabulary):
    """Merge what may be taken of a config that came along with weights."""
    if not isinstance(tree, dict):
        raise UserError(f"{source} is no tree of options; {_ANOTHER_CONFIG}")
    take_options(cfg, tree, source, given, vocabulary)


def _check_complete(model, weights, file):
    """Refuse weights that leave a tensor of the model as it is: random numbers would predict nonsense."""
    report, _ = match_names(model, weights)
    report.missing = [name for name in report.missing if not any(part in name for part in _MADE_ANEW)]
    lacking = len(report.missing) + len(report.mismatched)
    if lacking:
        raise UserError(
            f"{file} is not a whole network of its config: {lacking} of {len(model.state_dict())} tensors are "
            f"missing or of another shape ({side_by_side(report)}); name its config with --config-file FILE"
        )
    asked = sum(p.numel() * p.element_size() for p in model.parameters())
    there = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if asked > _BYTES_PER_BYTE * there + _SMALL:
        raise UserError(
            f"{file} has {there >> 20} MiB of weights, and the network of its config {asked >> 20}; name its config "
            "with --config-file FILE"
        )
