"""A network as a file of `torch.export`: written, read and run."""

import json
import logging
import os
import zipfile
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np
import torch
import torchvision  # noqa: F401, whose operations the programs use

from maskrcnn_benchmark.export.signature import metadata
from maskrcnn_benchmark.export.suppression import apart_nms
from maskrcnn_benchmark.export.trace import trace
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork
from maskrcnn_benchmark.utils.errors import UserError

METADATA_FILE = "metadata.json"


def write_program(network: TrainedNetwork, tasks: Sequence[str], file: str | os.PathLike | BinaryIO) -> None:
    """Write a `TrainedNetwork` on a CPU as a program of `torch.export`, with its metadata as an extra file.

    Args:
        network, tasks: what to write.
        file: a path, or a binary file that is open.
    """
    program, _ = trace(network.model, network.cfg, apart_nms)
    extra = {METADATA_FILE: json.dumps(metadata(network, tasks))}
    torch.export.save(program, file, extra_files=extra)


def read_program(path: str | os.PathLike) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A program as a function: image uint8 [3, H, W] -> {name: array}; `.metadata` is {key: str}."""
    extra = {METADATA_FILE: ""}
    # it reports lengths inside the loop over keypoints, which a graph need not know
    logging.getLogger("torch._export.serde.serialize").setLevel(logging.ERROR)
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no program of torch.export, or damaged; export it anew")
    try:
        module = torch.export.load(path, extra_files=extra).module()
        described = json.loads(extra[METADATA_FILE])
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise UserError(f"{path} is no program of this package, or damaged ({_first_line(error)})") from None

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            outputs = module(torch.from_numpy(np.ascontiguousarray(image)))
        return {name: output.numpy() for name, output in outputs.items()}

    run.metadata = described  # type: ignore[attr-defined]
    return run


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]
