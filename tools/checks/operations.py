"""Stage: NMS, RPN and ROIAlign alone, beside the CPU (on a CPU: beside torchvision's operations), and their time."""

from types import SimpleNamespace

import torch
from torchvision import ops

from checks.measuring import median_ms
from checks.networks import FULL, read_config
from checks.stage import Findings, Setting
from maskrcnn_benchmark.layers import grouped_nms, nms, roi_align
from maskrcnn_benchmark.layers.nms import inclusive_to_exclusive
from maskrcnn_benchmark.modeling.rpn.rpn import build_rpn
from maskrcnn_benchmark.structures.image_list import ImageList

IOU = 0.7
ROUNDS = 10
LEVELS = 5
STRIDES = (4, 8, 16, 32, 64)
ALIGNED, GRADIENT = 1e-4, 1e-3  # differences, of sums whose order is free, relative to the largest value
OTHER_BOXES = 0.005  # share that rounding of an IoU may exchange
LOST = 0.01  # share of proposals that rounding may exchange: their scores are close to one another
SAME_PIXELS = 0.1


def check(setting: Setting, findings: Findings) -> None:
    """Each operation: the largest difference, then milliseconds."""
    size = SimpleNamespace(boxes=1000, channels=32, side=(192, 256), regions=128)
    if not setting.small:
        size = SimpleNamespace(boxes=8000, channels=256, side=(800, 1088), regions=1024)
    generator = torch.Generator().manual_seed(0)
    _check_nms(setting, findings, size, generator)
    _check_roi_align(setting, findings, size, generator)
    _check_rpn(setting, findings, size, generator)


def _check_nms(setting, findings, size, generator):
    boxes, scores = _boxes(size.boxes, size.side, generator), torch.rand(size.boxes, generator=generator)
    groups = torch.randint(LEVELS, (size.boxes,), generator=generator)
    here = [tensor.to(setting.device) for tensor in (boxes, scores, groups)]
    exclusive = inclusive_to_exclusive(boxes)
    expected = {
        "NMS": ops.nms(exclusive, scores, IOU),
        "NMS by level": ops.batched_nms(exclusive.double(), scores.double(), groups, IOU),
    }
    actions = {"NMS": lambda: nms(*here[:2], IOU), "NMS by level": lambda: grouped_nms(*here, IOU)}
    for name, action in actions.items():
        kept, right = set(action().tolist()), set(expected[name].tolist())
        findings.limit(f"{name}, share of other boxes", len(kept ^ right) / len(right), OTHER_BOXES)
        findings.note(f"{name}, {size.boxes} boxes", median_ms(action, setting.device, ROUNDS), "ms")


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
