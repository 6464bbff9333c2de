"""Stage: NMS, RPN and ROIAlign alone, beside the CPU (on a CPU: beside torchvision's operations), and their time."""

import math
from types import SimpleNamespace

import torch
from torchvision import ops

from checks.measuring import median_ms
from checks.networks import FULL, read_config
from checks.stage import Findings, Setting
from maskrcnn_benchmark.layers import nms, roi_align
from maskrcnn_benchmark.layers.nms import inclusive_to_exclusive, level_nms
from maskrcnn_benchmark.modeling.rpn.rpn import build_rpn
from maskrcnn_benchmark.structures.image_list import ImageList

IOU = 0.7
ROUNDS = 10
IMAGES = 2
STRIDES = (4, 8, 16, 32, 64)
ASPECT_RATIOS = 3  # of the anchors at a place
ALIGNED, GRADIENT = 1e-4, 1e-3  # differences, of sums whose order is free, relative to the largest value
OTHER_BOXES = 0.005  # share that rounding of an IoU may exchange
LOST = 0.01  # share of proposals that rounding may exchange: their scores are close to one another
SAME_PIXELS = 0.1


def check(setting: Setting, findings: Findings) -> None:
    """Each operation: the largest difference, then milliseconds."""
    size = SimpleNamespace(boxes=1000, candidates=300, channels=32, side=(192, 256), regions=128)
    if not setting.small:
        size = SimpleNamespace(boxes=8000, candidates=2000, channels=256, side=(800, 1088), regions=1024)
    generator = torch.Generator().manual_seed(0)
    _check_nms(setting, findings, size, generator)
    _check_level_nms(setting, findings, size, generator)
    _check_roi_align(setting, findings, size, generator)
    _check_rpn(setting, findings, size, generator)


def _check_nms(setting, findings, size, generator):
    boxes, scores = _boxes(size.boxes, size.side, generator), torch.rand(size.boxes, generator=generator)
    here = [tensor.to(setting.device) for tensor in (boxes, scores)]
    kept, right = (
        set(each.tolist()) for each in (nms(*here, IOU), ops.nms(inclusive_to_exclusive(boxes), scores, IOU))
    )
    findings.limit("NMS, share of other boxes", len(kept ^ right) / len(right), OTHER_BOXES)
    findings.note(f"NMS, {size.boxes} boxes", median_ms(lambda: nms(*here, IOU), setting.device, ROUNDS), "ms")


def _check_level_nms(setting, findings, size, generator):
    """The candidates of a batch as the RPN has them: the best of each level, beside torchvision level by level."""
    sizes = [min(size.candidates, _anchors(size.side, stride)) for stride in STRIDES]
    boxes = torch.stack([_boxes(sum(sizes), size.side, generator) for _ in range(IMAGES)])
    scores = torch.rand(IMAGES, sum(sizes), generator=generator)
    levels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    here = [tensor.to(setting.device) for tensor in (boxes, scores)]
    other = among = 0
    for image, kept in enumerate(level_nms(*here, sizes, IOU)):
        exclusive = inclusive_to_exclusive(boxes[image]).double()
        right = set(ops.batched_nms(exclusive, scores[image].double(), levels, IOU).tolist())
        other, among = other + len(set(kept.tolist()) ^ right), among + len(right)
    name = "NMS of a batch's levels"
    findings.limit(f"{name}, share of other boxes", other / among, OTHER_BOXES)
    milliseconds = median_ms(lambda: level_nms(*here, sizes, IOU), setting.device, ROUNDS)
    findings.note(f"{name}, {IMAGES} images of {sum(sizes)} boxes", milliseconds, "ms")


def _anchors(side, stride):
    """Anchors of a level."""
    return ASPECT_RATIOS * math.prod(-(-length // stride) for length in side)


def _check_roi_align(setting, findings, size, generator):
    height, width = (side // STRIDES[0] for side in size.side)
    maps = torch.randn(2, size.channels, height, width, generator=generator)
    image = torch.randint(2, (size.regions, 1), generator=generator).float()
    regions = torch.cat((image, _boxes(size.regions, size.side, generator)), 1)

    def run(function, leaf, where):
        pooled = function(leaf, where, 7, 1 / STRIDES[0], 2)
        return pooled, *torch.autograd.grad(pooled.square().sum(), leaf)

    here, there = [(maps.to(device).requires_grad_(), regions.to(device)) for device in (setting.device, "cpu")]
    names = {"ROIAlign": ALIGNED, "gradient of ROIAlign": GRADIENT}
    for (name, limit), one, other in zip(names.items(), run(roi_align, *here), run(ops.roi_align, *there)):
        difference = (one.detach().cpu() - other).abs().max() / other.abs().max()
        findings.limit(f"{name}, largest difference", difference.item(), limit)
    milliseconds = median_ms(lambda: run(roi_align, *here), setting.device, ROUNDS)
    findings.note(f"ROIAlign, {size.regions} regions, and its gradient", milliseconds, "ms")


def _check_rpn(setting, findings, size, generator):
    cfg, _ = read_config(setting, FULL, ("MODEL.RPN.FPN_POST_NMS_TOP_N_TEST", 300))
    torch.manual_seed(0)
    rpn = build_rpn(cfg, size.channels).eval()
    torch.nn.init.normal_(rpn.head.cls_logits.weight, std=0.3)  # scores far apart, and none that rounds to 1
    shapes = [[-(-side // stride) for side in size.side] for stride in STRIDES]
    maps = [torch.randn(1, size.channels, *shape, generator=generator) for shape in shapes]

    def run(images, levels):
        with torch.no_grad():
            return rpn(images, levels)[0][0].bbox

    images = ImageList(torch.zeros(1, 3, *size.side), [size.side])
    expected = run(images, maps)
    rpn.to(setting.device)
    here = images.to(setting.device), [level.to(setting.device) for level in maps]
    apart = torch.cdist(expected.double(), run(*here).cpu().double(), p=float("inf")).amin(1) > SAME_PIXELS
    findings.limit("RPN, share of other proposals", apart.double().mean().item(), LOST)
    findings.note("RPN, head and proposals", median_ms(lambda: run(*here), setting.device, ROUNDS), "ms")


def _boxes(count, side, generator):
    """float [count, 4], xyxy, inclusive pixels, within (height, width)."""
    extent = torch.tensor([side[1], side[0]], dtype=torch.float32)
    size = (0.02 + 0.4 * torch.rand(count, 2, generator=generator)) * extent
    corner = torch.rand(count, 2, generator=generator) * (extent - size)
    return torch.cat((corner, corner + size - 1), 1)
