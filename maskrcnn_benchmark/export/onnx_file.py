"""A network as an ONNX file: written, read and run. Needs onnx, onnxscript and onnxruntime."""

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import numpy as np
import torch

from maskrcnn_benchmark.export.signature import INPUT_NAME, metadata, signature_of
from maskrcnn_benchmark.export.suppression import onnx_nms
from maskrcnn_benchmark.export.trace import trace
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork
from maskrcnn_benchmark.utils.errors import UserError

OPSET = 20  # the first with a DeformConv and everything else that the graphs need, and known to runtimes since 2023


def write_onnx(network: TrainedNetwork, tasks: Sequence[str], file: str | os.PathLike | BinaryIO) -> None:
    """Write a `TrainedNetwork` on a CPU as one ONNX file, with its metadata as `metadata_props`.

    Args:
        network, tasks: what to write.
        file: a path, or a binary file that is open.
    """
    import onnx

    from maskrcnn_benchmark.export.onnx_operations import TRANSLATIONS

    program, names = trace(network.model, network.cfg, onnx_nms)
    for name in ("onnxscript", "onnx_ir"):  # they report what they leave unoptimised and what they guess right
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported: Any = torch.onnx.export(
            program,
            (),
            input_names=[INPUT_NAME],
            output_names=names,
            custom_translation_table=TRANSLATIONS,
            opset_version=OPSET,
            verbose=False,
        )
    graph = exported.model.graph
    _name_sides(graph, {name for name, signature in signature_of(network.model).items() if signature.per_object})
    for node in graph.all_nodes():
        node.metadata_props.clear()  # which line of which module each is from
        for value in node.outputs:
            if value not in graph.outputs:
                # The tracer's numbers for lengths within the graph are not all right, and onnxruntime shares memory
                # by them; left to itself it finds its own
                value.shape = None
    exported.model.producer_name = "maskrcnn_benchmark"
    exported.model.metadata_props.update(metadata(network, tasks))
    onnx.save(exported.model_proto, file)


def _name_sides(graph, per_object):
    """Call the lengths that differ from image to image by names, where the tracer numbered them."""
    image = graph.inputs[0].shape
    names = {str(image[1]): "height", str(image[2]): "width"}
    for value in graph.outputs:
        if value.name in per_object:
            names[str(value.shape[0])] = "objects"
    for value in (*graph.inputs, *graph.outputs):
        for axis, length in enumerate(value.shape):
            if str(length) in names:
                value.shape[axis] = names[str(length)]


def read_onnx(path: str | os.PathLike) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """An ONNX file as a function: image uint8 [3, H, W] -> {name: array}; `.metadata` is {key: str}."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise UserError(f"{path} is no ONNX file that onnxruntime can run ({str(error).splitlines()[0]})") from None
    names = [output.name for output in session.get_outputs()]

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(None, {INPUT_NAME: np.ascontiguousarray(image)})))

    run.metadata = session.get_modelmeta().custom_metadata_map  # type: ignore[attr-defined]
    return run
