"""All heads with one output per image, on features that are computed once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE, DenseDecoder, DenseFeatures, enlarge
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgeDecoder, EdgeHead, predict_together
from maskrcnn_benchmark.modeling.fpn_heads.exchange import FINE, TaskExchange, build_exchange
from maskrcnn_benchmark.modeling.utils import build_heads
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

# What the heads read
PYRAMID_STRIDES = (4, 8, 16, 32)


class CombinedFPNHeads(nn.Module):
    """The dense decoder, the edge decoder and the heads on them.

    Args:
        heads: {name: head}, (features: `DenseFeatures`, None, targets or None) -> (one output per image or None,
            losses). Those that are an `EdgeHead` are computed in one convolution.
        dense_decoder: `DenseDecoder` or None where no head needs it.
        edge_decoder: `EdgeDecoder` or None where no head needs it.
        keys: {name: key of the task whose outputs the head makes}, where it is not the name.
        exchange: `TaskExchange` between the dense decoder and what reads it, or None.
        readers: {name of a head: the reader of the exchange that it is, or is one of}.
        initial: {name of a head: a second, third, ... such head}, one for each of the exchange's initial maps: what is
            predicted before the exchange, in training alone. They become part of the head, as its `initial`, so that
            their parameters are the head's task's own.
        initial_weight: factor of the losses of initial predictions.
    """

    def __init__(
        self,
        heads: Mapping[str, nn.Module],
        dense_decoder: DenseDecoder | None = None,
        edge_decoder: EdgeDecoder | None = None,
        keys: Mapping[str, str] | None = None,
        exchange: TaskExchange | None = None,
        readers: Mapping[str, str] | None = None,
        initial: Mapping[str, Sequence[nn.Module]] | None = None,
        initial_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(heads)
        self.trunk = dense_decoder  # under this name in state dicts
        self.edge_decoder = edge_decoder
        self.keys = {name: name for name in heads} | dict(keys or {})
        self.exchange = exchange
        self.readers = dict(readers or {})
        self.initial_weight = initial_weight
        self.with_initial = tuple(initial or ())
        for name, copies in (initial or {}).items():
            if hasattr(self.heads[name], "initial"):
                kind = type(self.heads[name]).__name__
                raise ValueError(f"the head {name!r} ({kind}) has an `initial` of its own; call that something else")
            self.heads[name].add_module("initial", nn.ModuleList(copies))

    def forward(
        self, pyramid: Sequence[torch.Tensor], images: ImageList, targets: Sequence[ImageAnnotations] | None = None
    ) -> tuple[dict[str, list[Any] | None], dict[str, torch.Tensor]]:
        """Run every head.

        Args:
            pyramid: pyramid maps, finest first.
            images: `ImageList` of the batch.
            targets: list of `ImageAnnotations` in training, else None.

        Returns:
            {task key: list of one output per image} (None for each key in training) and {loss name: scalar}.
        """
        features = self.features(pyramid, images.tensors, images.image_sizes)
        edge_heads = [head for head in self.heads.values() if isinstance(head, EdgeHead)]
        if targets is not None:  # a head that has nothing to learn from must not get a gradient of zero either
            edge_heads = [h for h in edge_heads if any(h.label_of(target) is not None for target in targets)]
        if edge_heads:
            features.subpixels = predict_together([head.predictor for head in edge_heads], features.fine)  # type: ignore[arg-type]
        outputs, losses = {}, {}
        for name, head in self.heads.items():
            of_images, head_losses = head(features.read_by(head), None, targets)
            if targets is None and len(of_images) != len(features.image_sizes):
                raise ValueError(
                    f"the head {name!r} ({type(head).__name__}) returned {len(of_images)} outputs for "
                    f"{len(features.image_sizes)} images; return one for each"
                )
            outputs[self.keys[name]] = of_images
            losses.update(head_losses)
        if targets is not None:
            losses.update(self._initial_losses(features, targets))
        return outputs, losses

    def _initial_losses(self, features, targets):
        """{name of a loss + "_initialK": scalar} of the initial predictions on the K-th maps, enlarged to stride 4."""
        losses, enlarged = {}, {}
        for head, maps in features.initial.items():
            for number, (copy, x) in enumerate(zip(head.initial, maps)):
                if id(x) not in enlarged:  # heads on the edge decoder have them in common
                    enlarged[id(x)] = x if x.shape[-2:] == features.dense.shape[-2:] else enlarge(x, features.dense)
                x = enlarged[id(x)]
                for name, loss in copy(replace(features, dense=x, fine=x, subpixels={}), None, targets)[1].items():
                    weighted = loss if self.initial_weight == 1.0 else loss * self.initial_weight
                    losses[f"{name}_initial{number}"] = weighted
        return losses

    def features(
        self, pyramid: Sequence[torch.Tensor], images: torch.Tensor, image_sizes: list[tuple[int, int]]
    ) -> DenseFeatures:
        """The `DenseFeatures` that the heads read.

        Args:
            pyramid: pyramid maps, finest first.
            images: the padded batch, [N, 3, H, W].
            image_sizes: N pairs (height, width).
        """
        if len(pyramid) < len(PYRAMID_STRIDES):
            raise ValueError(f"heads per image read maps of strides 4 to 32, but {len(pyramid)} of the backbone came")
        features = DenseFeatures(list(pyramid), image_sizes)
        if self.trunk is not None:
            features.dense = self.trunk(features.pyramid)
        read = features.dense
        if self.exchange is not None:
            made = self.exchange(features)
            features.refined = {self.heads[k]: made.refined[k] for k in self.exchange.readers if k != FINE}
            features.initial = {self.heads[name]: made.initial[self.readers[name]] for name in self.with_initial}
            read = made.refined.get(FINE, read)
        if self.edge_decoder is not None:
            features.fine = self.edge_decoder(read, images)
        return features


def build_fpn_heads(
    cfg: CfgNode,
    in_channels: int,
    tasks: Iterable[Any],
    vocabulary: Vocabulary | None = None,
    strides: Sequence[int] | None = None,
) -> CombinedFPNHeads | None:
    """The heads of the tasks that read features of the whole image, or None where there is none.

    Args:
        cfg: the config.
        in_channels: channels of the pyramid.
        tasks: `Task`s that are on, in the registry's order.
        vocabulary: `Vocabulary` of the training data.
        strides: of the backbone's maps, finest first; None: not known.

    Raises:
        UserError: the maps are no pyramid of strides 4 to 32, or the task exchange has nothing to exchange.
        ValueError: a head goes by a name that an exchange needs.
    """
    dense_channels, norm = cfg.MODEL.DENSE_TRUNK.CHANNELS, cfg.MODEL.DENSE_TRUNK.NORM
    edge_channels, edge_stride = cfg.MODEL.EDGE_DECODER.CHANNELS, cfg.MODEL.EDGE_DECODER.STRIDE
    channels = {"pyramid": in_channels, "dense": dense_channels, "fine": edge_channels}
    tasks = list(tasks)
    built = build_heads(cfg, tasks, channels, vocabulary)
    if not built:
        build_exchange(cfg, (), in_channels)
        return None
    if strides is not None and tuple(strides[: len(PYRAMID_STRIDES)]) != PYRAMID_STRIDES:
        raise UserError(
            f"MODEL.BACKBONE.CONV_BODY {cfg.MODEL.BACKBONE.CONV_BODY} has no feature pyramid of strides 4 to 32, which "
            f"{', '.join(built)} need{'s' if len(built) == 1 else ''}; take one that ends in -FPN"
        )
    reads = {task.reads(cfg) for task, _ in built.values()}
    dense_decoder = edge_decoder = None
    if reads & {"dense", "fine"}:
        dense_decoder = DenseDecoder(in_channels, dense_channels, norm)
    if "fine" in reads:
        edge_decoder = EdgeDecoder(
            dense_channels, edge_stride, cfg.MODEL.EDGE_DECODER.STEM_CHANNELS, edge_channels, norm
        )
    heads = {name: head for name, (_, head) in built.items()}
    keys = {name: task.key for name, (task, _) in built.items()}
    readers = _readers(cfg, built)
    exchange = build_exchange(cfg, list(dict.fromkeys(readers.values())), in_channels)
    if exchange is None:
        return CombinedFPNHeads(heads, dense_decoder, edge_decoder, keys)
    if FINE in built and built[FINE][0].reads(cfg) == "dense":
        raise ValueError(
            f"a head is called {FINE!r}, as the edge decoder is for an exchange; give it another `head_name`"
        )
    weight = cfg.MODEL.TASK_EXCHANGE.INITIAL_LOSS_WEIGHT
    initial = _initial_heads(cfg, tasks, exchange, readers, vocabulary) if weight else {}
    return CombinedFPNHeads(heads, dense_decoder, edge_decoder, keys, exchange, readers, initial, weight)


def _readers(cfg, built):
    """{name of a head: its reader of the dense features}: itself, or the edge decoder on which it is."""
    reads = {name: task.reads(cfg) for name, (task, _) in built.items()}
    return {name: FINE if reads[name] == "fine" else name for name in built if reads[name] in ("dense", "fine")}


def _initial_heads(cfg, tasks, exchange, readers, vocabulary):
    """{name of a head: heads of the same task on the exchange's initial maps}, one for each map."""
    cfg = cfg.clone()
    cfg.MODEL.EDGE_DECODER.STRIDE = DENSE_STRIDE  # heads on the edge decoder find a map at stride 4 in place of it
    channels = dict.fromkeys(("dense", "fine"), exchange.initial_channels)
    copies = [build_heads(cfg, tasks, channels, vocabulary) for _ in range(exchange.num_initial)]
    return {name: [built[name][1] for built in copies] for name in readers} if copies else {}
