"""From a network to a graph of `torch.export` that takes images of any size."""

import warnings
from typing import Any

import torch
from torch import nn
from torch.fx.experimental import _config as symbolic_shapes
from torch.utils import _pytree as pytree
from yacs.config import CfgNode

from maskrcnn_benchmark.export.network import ExportableNetwork
from maskrcnn_benchmark.export.suppression import Suppression

# Of the image that is shown to the tracer, which sees no pixel of it. No level of a pyramid has a side of one cell
TRACED_SIZE = (333, 413)
LEAST_SIDE = 32


def trace(model: nn.Module, cfg: CfgNode, nms: Suppression) -> tuple[torch.export.ExportedProgram, list[str]]:
    """The graph of a network.

    Args:
        model, cfg, nms: as `ExportableNetwork` takes them.

    Returns:
        (`torch.export.ExportedProgram`, names of its outputs)
    """
    network = ExportableNetwork(model, cfg, nms)
    image = torch.zeros(3, *TRACED_SIZE, dtype=torch.uint8)
    any_side = torch.export.Dim.DYNAMIC(min=LEAST_SIDE)
    # Nothing has a gradient here; but where none could be, some layers take shortcuts that ask for sizes. And a side
    # may be one cell on the coarsest level of a small image, which the tracer is told not to rule out
    not_rigid = symbolic_shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with torch.enable_grad(), not_rigid, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torchvision about itself
        program = torch.export.export(network, (image,), dynamic_shapes=({1: any_side, 2: any_side},), strict=False)
    _forget_sources(program.graph_module)
    spec: Any = program.call_spec.out_spec
    return program, list(pytree.tree_unflatten([None] * spec.num_leaves, spec))


def _forget_sources(graph_module):
    """Take out what lines of which files the nodes are from: a handed-on network need not tell folders of its maker."""
    for module in graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)
