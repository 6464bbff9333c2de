"""From a network to a graph of `torch.export` that takes images of any size."""

import warnings

import torch

from maskrcnn_benchmark.export.network import ExportableNetwork

# Of the image that is shown to the tracer; its numbers are not in the graph
TRACED_SIZE = (128, 157)
LEAST_SIDE = 32


def trace(model, cfg, nms):
    """The graph of a network.

    Args:
        model, cfg, nms: as `ExportableNetwork` takes them.

    Returns:
        (`torch.export.ExportedProgram`, names of its outputs)
    """
    network = ExportableNetwork(model, cfg, nms)
    image = torch.zeros(3, *TRACED_SIZE, dtype=torch.uint8)
    any_side = torch.export.Dim.DYNAMIC(min=LEAST_SIDE)
    # Nothing has a gradient here; but where none could be, some layers take shortcuts that ask for sizes
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torchvision about itself
        program = torch.export.export(network, (image,), dynamic_shapes=({1: any_side, 2: any_side},), strict=False)
    with torch.no_grad():
        names = list(network(image))
    _forget_sources(program.graph_module)
    return program, names


def _forget_sources(graph_module):
    """Take out what lines of which files the nodes are from: a handed-on network need not tell folders of its maker."""
    for module in graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)
