"""All heads with one answer per image, on features that are computed once."""

from torch import nn

from maskrcnn_benchmark.modeling.fpn_heads.boundary import BoundaryHead
from maskrcnn_benchmark.modeling.fpn_heads.classification import ClassificationHead
from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import DenseFeatures, DenseTrunk
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgeDecoder, EdgeHead, predict_together
from maskrcnn_benchmark.modeling.fpn_heads.occlusion import OcclusionHead
from maskrcnn_benchmark.modeling.fpn_heads.semantic import PixelClassifier, part_labels, semantic_labels
from maskrcnn_benchmark.modeling.registry import FPN_HEADS
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError


class CombinedFPNHeads(nn.Module):
    """The dense trunk, the edge decoder and the heads on them.

    Args:
        heads: {name: head}; `head.reads` says which features it needs: "pyramid", "trunk" or "fine". The name is the
            member of `ImagePrediction` that holds the head's answer or, of a task that was added, the task's key.
        trunk: `DenseTrunk` or None where no head needs it.
        edge_decoder: `EdgeDecoder` or None where no head needs it.
    """

    def __init__(self, heads, trunk=None, edge_decoder=None):
        super().__init__()
        self.heads = nn.ModuleDict(heads)
        self.trunk = trunk
        self.edge_decoder = edge_decoder

    def forward(self, pyramid, images, targets=None):
        """Run every head.

        Args:
            pyramid: pyramid maps, finest first.
            images: `ImageList` of the batch.
            targets: list of `ImageAnnotations` in training, else None.

        Returns:
            {name: list of one answer per image} (None for each name in training) and {loss name: scalar}.
        """
        features = self.features(pyramid, images.tensors, images.image_sizes)
        edge_heads = [head for head in self.heads.values() if isinstance(head, EdgeHead)]
        if targets is not None:  # a head that has nothing to learn from must not get a gradient of zero either
            edge_heads = [h for h in edge_heads if any(h.label_of(target) is not None for target in targets)]
        if edge_heads:
            features.subpixels = predict_together([head.predictor for head in edge_heads], features.fine)
        predictions, losses = {}, {}
        for name, head in self.heads.items():
            predictions[name], head_losses = head(features, None, targets)
            losses.update(head_losses)
        return predictions, losses

    def features(self, pyramid, images, image_sizes):
        """The `DenseFeatures` that the heads read.

        Args:
            pyramid: pyramid maps, finest first.
            images: the padded batch, [N, 3, H, W].
            image_sizes: N pairs (height, width).
        """
        features = DenseFeatures(list(pyramid), image_sizes)
        if self.trunk is not None:
            features.trunk = self.trunk(features.pyramid)
        if self.edge_decoder is not None:
            features.fine = self.edge_decoder(features.trunk, images)
        return features


@FPN_HEADS.register("semantic")
def _build_semantic_head(cfg, in_channels):
    if not cfg.MODEL.SEMANTIC_ON:
        return None
    trunk, classes = cfg.MODEL.DENSE_TRUNK, cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES
    return PixelClassifier(trunk.CHANNELS, classes, "loss_semantic", semantic_labels, trunk.LOSS_STRIDE)


@FPN_HEADS.register("part_map")
def _build_part_head(cfg, in_channels):
    if not cfg.MODEL.PART_ON or cfg.MODEL.PART_HEAD != "fpn":
        return None
    trunk, classes = cfg.MODEL.DENSE_TRUNK, cfg.MODEL.ROI_PART_HEAD.NUM_CLASSES
    return PixelClassifier(trunk.CHANNELS, classes, "loss_part", part_labels, trunk.LOSS_STRIDE)


@FPN_HEADS.register("boundary")
def _build_boundary_head(cfg, in_channels):
    if not cfg.MODEL.BOUNDARY_ON:
        return None
    decoder = cfg.MODEL.EDGE_DECODER
    return BoundaryHead(decoder.CHANNELS, decoder.STRIDE, cfg.MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT)


@FPN_HEADS.register("occlusion")
def _build_occlusion_head(cfg, in_channels):
    if not cfg.MODEL.OCCLUSION_ON:
        return None
    decoder, node = cfg.MODEL.EDGE_DECODER, cfg.MODEL.OCCLUSION_HEAD
    return OcclusionHead(decoder.CHANNELS, decoder.STRIDE, node.ATTENTION_BETA, node.ATTENTION_GAMMA)


@FPN_HEADS.register("classes")
def _build_classification_head(cfg, in_channels):
    if not cfg.MODEL.CLASSIFICATION_ON:
        return None
    return ClassificationHead(in_channels, cfg.MODEL.CLASSIFICATION_HEAD.NUM_CLASSES)


# In which order heads are made, and so draw their random weights, does not depend on which file was imported first
_OWN_HEADS = ("semantic", "part_map", "boundary", "occlusion", "classes")


def build_fpn_heads(cfg, in_channels):
    """The heads of `modeling.registry.FPN_HEADS` that the config turns on, or None when it turns on none.

    Args:
        cfg: the config. Raises `UserError` when its trunk has no feature pyramid.
        in_channels: channels of the pyramid.
    """
    trunk_channels, norm = cfg.MODEL.DENSE_TRUNK.CHANNELS, cfg.MODEL.DENSE_TRUNK.NORM
    edge_channels, edge_stride = cfg.MODEL.EDGE_DECODER.CHANNELS, cfg.MODEL.EDGE_DECODER.STRIDE
    names = (*_OWN_HEADS, *(task for task in TASKS if task in FPN_HEADS and task not in _OWN_HEADS))
    made = {name: FPN_HEADS[name](cfg, in_channels) for name in names}
    heads = {name: head for name, head in made.items() if head is not None}
    if not heads:
        return None
    if not cfg.MODEL.BACKBONE.CONV_BODY.endswith("-FPN"):
        raise UserError(
            f"MODEL.BACKBONE.CONV_BODY {cfg.MODEL.BACKBONE.CONV_BODY} has no feature pyramid of strides 4 to 32, which "
            f"{', '.join(heads)} need{'s' if len(heads) == 1 else ''}; take one that ends in -FPN"
        )
    reads = {head.reads for head in heads.values()}
    trunk = edge_decoder = None
    if reads & {"trunk", "fine"}:
        trunk = DenseTrunk(in_channels, trunk_channels, norm)
    if "fine" in reads:
        edge_decoder = EdgeDecoder(
            trunk_channels, edge_stride, cfg.MODEL.EDGE_DECODER.STEM_CHANNELS, edge_channels, norm
        )
    return CombinedFPNHeads(heads, trunk, edge_decoder)
