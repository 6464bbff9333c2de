"""All heads with one answer per image, on features that are computed once."""

from torch import nn

from maskrcnn_benchmark.modeling.fpn_heads.boundary import BoundaryHead
from maskrcnn_benchmark.modeling.fpn_heads.classification import ClassificationHead
from maskrcnn_benchmark.modeling.fpn_heads.dense_trunk import DenseFeatures, DenseTrunk
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgeDecoder
from maskrcnn_benchmark.modeling.fpn_heads.occlusion import OcclusionHead
from maskrcnn_benchmark.modeling.fpn_heads.semantic import PixelClassifier, part_labels, semantic_labels
from maskrcnn_benchmark.utils.errors import UserError


class CombinedFPNHeads(nn.Module):
    """The dense trunk, the edge decoder and the heads on them.

    Args:
        heads: {name: head}; `head.reads` says which features it needs: "pyramid", "trunk" or "fine". The name is the
            attribute of `ImagePrediction` that holds the head's answer.
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
        features = DenseFeatures(list(pyramid), [tuple(int(v) for v in size) for size in images.image_sizes])
        if self.trunk is not None:
            features.trunk = self.trunk(features.pyramid)
        if self.edge_decoder is not None:
            features.fine = self.edge_decoder(features.trunk, images.tensors)
        predictions, losses = {}, {}
        for name, head in self.heads.items():
            predictions[name], head_losses = head(features, None, targets)
            losses.update(head_losses)
        return predictions, losses


def build_fpn_heads(cfg, in_channels):
    """The heads that the config turns on, or None when it turns on none.

    Args:
        cfg: the config. Raises `UserError` when its trunk has no feature pyramid.
        in_channels: channels of the pyramid.
    """
    trunk_channels, norm = cfg.MODEL.DENSE_TRUNK.CHANNELS, cfg.MODEL.DENSE_TRUNK.NORM
    edge_channels, edge_stride = cfg.MODEL.EDGE_DECODER.CHANNELS, cfg.MODEL.EDGE_DECODER.STRIDE
    loss_stride = cfg.MODEL.DENSE_TRUNK.LOSS_STRIDE
    heads = {}
    if cfg.MODEL.SEMANTIC_ON:
        classes = cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES
        heads["semantic"] = PixelClassifier(trunk_channels, classes, "loss_semantic", semantic_labels, loss_stride)
    if cfg.MODEL.PART_ON and cfg.MODEL.PART_HEAD == "fpn":
        classes = cfg.MODEL.ROI_PART_HEAD.NUM_CLASSES
        heads["part_map"] = PixelClassifier(trunk_channels, classes, "loss_part", part_labels, loss_stride)
    if cfg.MODEL.BOUNDARY_ON:
        weight = cfg.MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT
        heads["boundary"] = BoundaryHead(edge_channels, edge_stride, weight)
    if cfg.MODEL.OCCLUSION_ON:
        node = cfg.MODEL.OCCLUSION_HEAD
        heads["occlusion"] = OcclusionHead(edge_channels, edge_stride, node.ATTENTION_BETA, node.ATTENTION_GAMMA)
    if cfg.MODEL.CLASSIFICATION_ON:
        heads["classes"] = ClassificationHead(in_channels, cfg.MODEL.CLASSIFICATION_HEAD.NUM_CLASSES)
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
