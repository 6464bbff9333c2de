"""Exchanges: how tasks read one another's features between the shared dense features and their heads.

An exchange makes, of the pyramid and the dense features, a map for each of its readers, in the shape of the dense
features and in their place. A reader is the head of a task that reads "dense", or `FINE`: the edge decoder, with all
heads that read "fine". No exchange knows a task; absent labels are no business of it: the features of a reader without
labels are messages like any other's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import (
    DENSE_STRIDE,
    NUM_LEVELS,
    DenseFeatures,
    conv_block,
    enlarge,
)
from maskrcnn_benchmark.structures.image_list import sizes_on
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.registry import Registry

OPTION = "MODEL.TASK_EXCHANGE.NAME"
TASK_EXCHANGES = Registry("task exchange", OPTION)
NONE = "none"  # what the option says for no exchange
FINE = "fine"  # the edge decoder among the readers


class Exchanged(NamedTuple):
    """What an exchange makes of a batch.

    Attributes:
        refined: {reader: float [N, C, H/4, W/4]}, what it reads in place of the dense features.
        initial: {reader: maps float [N, `initial_channels`, h, w], `num_initial` of them, of whatever stride}: its
            features before the exchange, on which initial predictions are supervised.
    """

    refined: dict[str, torch.Tensor]
    initial: dict[str, list[torch.Tensor]]


class TaskExchange(nn.Module):
    """A way for tasks to read one another's features. Subclass it, write `forward`, register it, name it in the config.

    What depends on one reader is kept under its name, so that weights are found again where there are other readers.
    All readers are computed in every step, whatever labels it has.

    Args:
        readers: names of the readers, two at least.

    Attributes:
        num_initial: maps of each reader on which initial predictions are supervised; 0: none are made.
        initial_channels: their channels.
    """

    num_initial = 0
    initial_channels = 0

    def __init__(self, readers: Sequence[str]) -> None:
        super().__init__()
        self.readers = tuple(readers)

    @classmethod
    def from_config(
        cls, node: CfgNode, readers: Sequence[str], in_channels: int, channels: int, norm: str
    ) -> "TaskExchange":
        """The exchange with the options of `cfg.MODEL.TASK_EXCHANGE`.

        Args:
            node: the options.
            readers: names of the readers.
            in_channels: channels of the pyramid.
            channels: channels of the dense features.
            norm: "GN", "BN", "SyncBN" or "".
        """
        raise NotImplementedError

    def forward(self, features: DenseFeatures) -> Exchanged:
        """`DenseFeatures` with `pyramid` and `dense` -> `Exchanged`."""
        raise NotImplementedError


def build_exchange(cfg: CfgNode, readers: Sequence[str], in_channels: int) -> TaskExchange | None:
    """The exchange that a config names; None for "none".

    Args:
        cfg: the config.
        readers: names of the readers.
        in_channels: channels of the pyramid.

    Raises:
        UserError: there is no such exchange, or there are no two readers to exchange anything.
    """
    node, dense = cfg.MODEL.TASK_EXCHANGE, cfg.MODEL.DENSE_TRUNK
    if node.NAME == NONE:
        return None
    exchange = TASK_EXCHANGES[node.NAME]
    if len(readers) < 2:
        there = f"is one reader of dense features ({readers[0]})" if readers else "is no reader of dense features"
        raise UserError(
            f"{OPTION} is {node.NAME!r}, but there {there}, and an exchange takes two: heads that read dense features, "
            f'and the edge decoder with all heads on it; turn another task on, or set it to "{NONE}"'
        )
    return exchange.from_config(node, readers, in_channels, dense.CHANNELS, dense.NORM)


# Multi-scale distillation ---------------------------------------------------------------------------------------------


@TASK_EXCHANGES.register("distillation")
class MultiScaleDistillation(TaskExchange):
    """Gated messages between the tasks' features at each level of the pyramid (MTI-Net, Vandenhende et al. 2020).

    At each level s, from the coarsest to the finest, a reader k has initial features
        F[k, s] = block[k, s](concat(reduce[s](P[s]), enlarged propagate[s + 1](F[., s + 1])[k])),
    on which its initial prediction is made. They are refined by all others (PAD-Net's attention-guided messages, Xu et
    al. 2018, gated by the sender as in MTI-Net)
        G[k, s] = F[k, s] + sum over l != k of sigmoid(U[k, l, s] * F[l, s]) . (V[k, l, s] * F[l, s]),
    with 3x3 convolutions U and V, and all levels are joined: R[k] = D + A[k] * sum over s of enlarged G[k, s], where D
    are the dense features and A is 1x1. MTI-Net concatenates the levels and has no D: the sum costs less, and with it
    the network is the plain one beside what the messages add.

    Args:
        readers: names of the readers.
        in_channels: channels of the pyramid.
        channels: channels of the dense features.
        width: channels of the readers' own features.
        norm: "GN", "BN", "SyncBN" or "".
    """

    num_initial = NUM_LEVELS

    def __init__(
        self, readers: Sequence[str], in_channels: int, channels: int = 128, width: int = 64, norm: str = "GN"
    ) -> None:
        super().__init__(readers)
        self.initial_channels = width
        self.reduce = nn.ModuleList(conv_block(in_channels, width, norm, 1) for _ in range(NUM_LEVELS))
        widths = [2 * width] * (NUM_LEVELS - 1) + [width]  # the coarsest level is told nothing by one before
        self.blocks = nn.ModuleList(nn.ModuleDict({k: conv_block(w, width, norm) for k in readers}) for w in widths)
        self.propagate = nn.ModuleList(FeaturePropagation(readers, width, norm) for _ in range(NUM_LEVELS - 1))
        self.messages = nn.ModuleList(GatedMessages(readers, width) for _ in range(NUM_LEVELS))
        self.out = nn.ModuleDict({k: _pointwise(width, channels) for k in readers})

    @classmethod
    def from_config(
        cls, node: CfgNode, readers: Sequence[str], in_channels: int, channels: int, norm: str
    ) -> "MultiScaleDistillation":
        return cls(readers, in_channels, channels, node.CHANNELS, norm)

    def forward(self, features: DenseFeatures) -> Exchanged:
        initial: dict[str, list[torch.Tensor]] = {k: [] for k in self.readers}
        joined: dict[str, torch.Tensor] = {}
        coarser: dict[str, torch.Tensor] = {}
        for level in reversed(range(NUM_LEVELS)):
            x = self.reduce[level](features.pyramid[level])
            blocks: Any = self.blocks[level]
            own = {k: blocks[k](torch.cat([x, enlarge(coarser[k], x)], 1) if coarser else x) for k in self.readers}
            if level > 0:
                inside = features.inside(x.shape[-2], x.shape[-1], DENSE_STRIDE * 2**level)
                coarser = self.propagate[level - 1](own, inside)
            for k, message in self.messages[level](own).items():
                refined = own[k] + message
                joined[k] = refined + enlarge(joined[k], x) if k in joined else refined
                initial[k].insert(0, own[k])
        return Exchanged({k: features.dense + self.out[k](joined[k]) for k in self.readers}, initial)


class GatedMessages(nn.Module):
    """sigmoid(U[k, l] * F[l]) . (V[k, l] * F[l]), summed over the senders l for each receiver k.

    Args:
        readers: names of the readers.
        width: channels of their features.
    """

    def __init__(self, readers: Sequence[str], width: int) -> None:
        super().__init__()
        # U and V in one convolution, the gate first
        self.pairs = nn.ModuleDict(
            {
                k: nn.ModuleDict({other: _plain_conv(width, 2 * width, 3) for other in readers if other != k})
                for k in readers
            }
        )

    def forward(self, own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """{reader: float [N, width, h, w]} -> {reader: what it is told, of the same shape}."""
        told: dict[str, Any] = {}
        for receiver, senders in self.pairs.items():
            for sender, conv in senders.items():  # type: ignore[operator]
                gate, message = conv(own[sender]).chunk(2, dim=1)
                gated = gate.sigmoid() * message
                told[receiver] = told[receiver] + gated if receiver in told else gated
        return told


class FeaturePropagation(nn.Module):
    """What a level passes on to the next finer one (the feature propagation module of MTI-Net).

    Harmonised: X = concat of all F[l], masks M = softmax over the readers of f(X), shared S = g(M . X). Refined:
    F[k] + S . sigmoid(W2[k] relu(W1[k] mean of S)), a squeeze and excitation (Hu et al. 2018) whose mean is over the
    places inside each image. f is a 3x3 and a 1x1 convolution through `width` channels, g is 1x1.

    Args:
        readers: names of the readers.
        width: channels of their features.
        norm: "GN", "BN", "SyncBN" or "".
    """

    def __init__(self, readers: Sequence[str], width: int, norm: str) -> None:
        super().__init__()
        total, squeezed = len(readers) * width, max(1, width // 4)
        self.harmonise = nn.Sequential(conv_block(total, width, norm), _pointwise(width, total))
        self.join = conv_block(total, width, norm, 1)
        self.excite = nn.ModuleDict(
            {k: nn.Sequential(nn.Linear(width, squeezed), nn.ReLU(), nn.Linear(squeezed, width)) for k in readers}
        )

    def forward(self, own: Mapping[str, torch.Tensor], inside: torch.Tensor) -> dict[str, torch.Tensor]:
        """{reader: float [N, width, h, w]} and bool [N, h, w] -> {reader: float [N, width, h, w]}."""
        every = torch.cat(list(own.values()), dim=1)
        masks = self.harmonise(every).unflatten(1, (len(own), -1)).softmax(dim=1)
        shared = self.join(masks.flatten(1, 2) * every)
        weight = inside[:, None].to(shared.dtype)
        mean = (shared * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3))
        return {k: x + shared * self.excite[k](mean).sigmoid()[:, :, None, None] for k, x in own.items()}


# Cross-task attention -------------------------------------------------------------------------------------------------


@TASK_EXCHANGES.register("attention")
class CrossTaskAttention(TaskExchange):
    """Attention among all tasks and places on a pooled grid (InvPT, Ye and Xu 2022; ATRC, Brüggemann et al. 2021).

    A reader k has initial features F[k] = block[k](D), on which its initial prediction is made, and `grid` x `grid`
    tokens: their means over the cells of the image, plus an embedding of k. All readers' tokens together pass layers of
        X <- X + Z(concat over heads of softmax(Q K^T / sqrt(d)) V),   Q, K, V = W norm(X),
        X <- X + MLP(norm(X)),
    as in InvPT every token of every task reading every other, and go back:
        R[k] = D + A[k] * (F[k] + enlarged norm(X[k])).
    InvPT does so at three scales and hands its attention on; ATRC has one source task at a time. Here there are
    readers x grid^2 tokens, whatever the image's size. There is no encoding of place: as in ATRC attention goes by
    content, and convolutions behind padding know where they are.

    The grid is laid over each image without its padding, by areas, so that an image gives the same tokens whatever it
    is batched with.

    Args:
        readers: names of the readers.
        channels: channels of the dense features.
        width: channels of the readers' own features and of tokens.
        norm: "GN", "BN", "SyncBN" or "".
        grid: cells along each side.
        layers: how many.
        heads: of the attention; `width` is a multiple of it.
    """

    num_initial = 1

    def __init__(
        self,
        readers: Sequence[str],
        channels: int = 128,
        width: int = 64,
        norm: str = "GN",
        grid: int = 16,
        layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__(readers)
        if width % heads:
            raise UserError(
                f"MODEL.TASK_EXCHANGE.CHANNELS {width} is no multiple of MODEL.TASK_EXCHANGE.HEADS {heads}; change one"
            )
        self.initial_channels, self.grid = width, grid
        self.blocks = nn.ModuleDict({k: conv_block(channels, width, norm) for k in readers})
        self.embedding = nn.ParameterDict({k: nn.Parameter(torch.randn(width) * 0.02) for k in readers})
        self.layers = nn.ModuleList(AttentionLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.ModuleDict({k: _pointwise(width, channels) for k in readers})

    @classmethod
    def from_config(
        cls, node: CfgNode, readers: Sequence[str], in_channels: int, channels: int, norm: str
    ) -> "CrossTaskAttention":
        return cls(readers, channels, node.CHANNELS, norm, node.GRID, node.LAYERS, node.HEADS)

    def forward(self, features: DenseFeatures) -> Exchanged:
        dense: Any = features.dense
        own = {k: self.blocks[k](dense) for k in self.readers}
        extents = sizes_on(features.image_sizes, dense.device).to(torch.float32) / DENSE_STRIDE
        heights, widths = (extents[:, axis, None, None] for axis in (0, 1))
        height, width = dense.shape[-2:]
        means = cell_means(height, heights, self.grid), cell_means(width, widths, self.grid)
        pooled = [_by_sides(own[k], *means).flatten(2).mT + self.embedding[k] for k in self.readers]
        tokens = torch.cat(pooled, dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        reading = cell_reading(height, heights, self.grid), cell_reading(width, widths, self.grid)
        refined = {}
        for k, x in zip(self.readers, self.norm(tokens).chunk(len(self.readers), dim=1)):
            cells = x.mT.unflatten(2, (self.grid, self.grid))
            refined[k] = dense + self.out[k](own[k] + _by_sides(cells, *reading))
        return Exchanged(refined, {k: [x] for k, x in own.items()})


class AttentionLayer(nn.Module):
    """Self-attention with several heads and an MLP, each after a layer norm and added to what it reads.

    Args:
        width: channels of tokens. heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        for layer in (self.qkv, self.join, self.mlp[0], self.mlp[2]):
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """float [N, T, width] -> float [N, T, width]."""
        # [3, N, heads, T, width / heads]
        query, key, value = self.qkv(self.norm1(tokens)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.join(read.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.norm2(tokens))


def cell_means(side: int, extent: torch.Tensor, grid: int) -> torch.Tensor:
    """Weights of the means of `side` pixels over `grid` cells that share the first `extent` of them by areas.

    Args:
        extent: float [N, 1, 1], above 0, need not be whole.

    Returns:
        float [N, grid, side], each row of sum 1 where `extent` is `side` at most.
    """
    size = extent / grid
    first = torch.arange(grid, device=extent.device)[:, None] * size
    pixel = torch.arange(side, device=extent.device)
    overlap = torch.minimum(first + size, pixel + 1) - torch.maximum(first, pixel)
    return overlap.clamp(min=0) / size


def cell_reading(side: int, extent: torch.Tensor, grid: int) -> torch.Tensor:
    """Weights that read `grid` cells over `extent` pixels linearly at the centres of `side` pixels: [N, side, grid].

    Beyond the centres of the outermost cells these are read.
    """
    centre = (torch.arange(side, device=extent.device)[:, None] + 0.5) * (grid / extent) - 0.5
    cell = torch.arange(grid, device=extent.device)
    return (1 - (centre.clamp(0, grid - 1) - cell).abs()).clamp(min=0)


def _by_sides(x: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """[N, C, h, w], [N, H, h] and [N, W, w] -> rows x columns^T, [N, C, H, W]."""
    return rows.to(x.dtype)[:, None] @ x @ columns.to(x.dtype)[:, None].mT


def _plain_conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    return conv


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return _plain_conv(in_channels, out_channels, 1)
