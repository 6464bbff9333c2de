"""Stage: the same weights and the same images on the CPU and on the device, in each precision.

Each part is given what the part before it made on the CPU: the region heads get the CPU's proposals, so that a
difference is counted where it arises, and not once more in everything behind it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from checks.networks import FULL, MINI, NOTHING_DRAWN, build_model, first_batches, read_config
from checks.stage import Findings, Setting
from maskrcnn_benchmark.engine.precision import autocast
from maskrcnn_benchmark.export.parity import same_objects
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.utils.precision import float32_precision as tf32

SAME_PIXELS = 1.0
BEST_PROPOSALS = 100  # of an image, which are compared
# Gradients of float16 leave its range; GradScaler would find one of these factors
LOSS_SCALES = (2.0**14, 2.0**10, 2.0**6, 1.0)


@dataclass(frozen=True)
class Limits:
    """Largest differences that rounding explains: relative of outputs, losses and gradient norms, a share of boxes."""

    outputs: float
    losses: float
    gradients: float
    boxes: float


@dataclass(frozen=True)
class Variant:
    """One way to compute: a precision or, on a CPU, another order of the sums."""

    name: str
    limits: Limits
    dtype: str = "float32"
    tf32: bool = False
    other_threads: bool = False
    channels_last: bool = True


# A ReLU whose input rounds to the other side of zero stops a gradient, or lets it through, as a whole: one of them in a
# small map moves the norm over all the layers before it by a per cent
BODY, ONE_RELU = "backbone.body", 0.03
# float32 rounds at 2^-24 and TF32, float16 and bfloat16 at 2^-11, 2^-11 and 2^-8; tens of layers add up to some ten
# times that
SINGLE = Limits(1e-3, 1e-3, 5e-3, 0.02)
HALF = Limits(2e-2, 1e-2, 3e-2, 0.1)
ON_CUDA = (
    Variant("float32", SINGLE),
    Variant("TF32", HALF, tf32=True),
    Variant("bfloat16", Limits(1e-1, 5e-2, 2e-1, 0.3), dtype="bfloat16"),
    Variant("float16", Limits(2e-2, 2e-2, 5e-2, 0.1), dtype="float16"),
)
ON_CPU = (
    Variant("other threads", SINGLE, other_threads=True),
    Variant("channels first", SINGLE, channels_last=False),
    Variant("bfloat16", ON_CUDA[2].limits, dtype="bfloat16"),
)


@dataclass
class Outcome:
    """What a network made of a batch, as tensors and numbers on the CPU.

    Attributes:
        features: list of the pyramid's maps.
        proposals: list of `BoxList`, the RPN's own.
        predictions: list of `ImagePrediction`, from the given proposals.
        losses: {loss name: float}.
        norms: {part of the network: norm of its gradient}.
        training_proposals: list of `BoxList`, the RPN's own in training.
    """

    features: list
    proposals: list
    predictions: list
    losses: dict
    norms: dict
    training_proposals: list


def check(setting: Setting, findings: Findings) -> None:
    """Compare each variant with the CPU's float32."""
    _compare_variants(setting, findings)


def check_timm(setting: Setting, findings: Findings) -> None:
    """As `check`, with a ConvNeXt of timm for the backbone."""
    name = "convnext_atto" if setting.small else "convnext_tiny"
    body = ("MODEL.BACKBONE.CONV_BODY", "timm-FPN", "MODEL.BACKBONE.TIMM.NAME", name)
    _compare_variants(setting, findings, (*body, "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 0))


def _compare_variants(setting, findings, more=()):
    file = MINI if setting.small else FULL
    sizes = () if setting.small else ("INPUT.MIN_SIZE_TRAIN", (320,), "INPUT.MAX_SIZE_TRAIN", 448)
    options = ("SOLVER.IMS_PER_BATCH", 2, "DTYPE", "float32", *NOTHING_DRAWN, *sizes, *more)
    cfg, vocabulary = read_config(setting, file, options, device="cpu")
    (batch,) = first_batches(cfg, 1)
    weights = build_model(cfg, vocabulary, batch).state_dict()

    def run(variant, device, given=None):
        changed = cfg.clone()
        changed.MODEL.CHANNELS_LAST = variant.channels_last
        model = build_detection_model(changed, vocabulary)
        model.load_state_dict(weights)
        return outcome_of(model.to(device), batch, device, variant.dtype, given)

    expected = run(Variant("reference", SINGLE), "cpu")
    for variant in ON_CUDA if setting.on_cuda else ON_CPU:
        with findings.attempt("runs", variant.name):
            with tf32(variant.tf32), _threads(variant.other_threads):
                found = run(variant, setting.device, expected)
            for name, value, limit in compare(expected, found, variant.limits):
                findings.limit(name, value, limit, group=variant.name)


def outcome_of(model, batch, device: str, dtype: str, given: Outcome | None = None) -> Outcome:
    """Run a network on a batch, in evaluation and in training.

    Args:
        model: of all tasks, on the device.
        batch: (`ImageList`, list of `ImageAnnotations`) on the CPU.
        dtype: as the option DTYPE.
        given: whose proposals the heads get; by default the network's own.
    """
    images, targets = batch[0].to(device), [target.to(device) for target in batch[1]]
    features = []
    hook = model.backbone.register_forward_hook(lambda module, inputs, output: features.extend(output))
    model.eval()
    with torch.no_grad(), autocast(dtype, device), _proposals(model, given and given.proposals) as proposals:
        predictions = [ImagePrediction.of(each).to("cpu") for each in model(images)]
    hook.remove()
    model.train()
    with autocast(dtype, device), _proposals(model, given and given.training_proposals) as training_proposals:
        losses = model(images, targets)
    norms = _gradient_norms(model, sum(loss.float() for loss in losses.values()))
    return Outcome(
        [level.float().cpu() for level in features],
        [boxes.to("cpu") for boxes in proposals],
        predictions,
        {name: loss.item() for name, loss in losses.items()},
        norms,
        [boxes.to("cpu") for boxes in training_proposals],
    )


@contextmanager
def _proposals(model, given):
    """The list that the RPN's own proposals come into; the heads get the given ones instead, if any."""
    own = []

    def replace(module, inputs, output):
        own.extend(output[0])
        return None if given is None else ([boxes.to(own[0].bbox.device) for boxes in given], output[1])

    hook = model.rpn.register_forward_hook(replace)
    try:
        yield own
    finally:
        hook.remove()


def _gradient_norms(model, loss):
    """{part: norm}, the loss scaled as far as the precision bears it."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for scale in LOSS_SCALES:
        last = scale == LOSS_SCALES[-1]
        parameters = [p for _, p in named]
        gradients = torch.autograd.grad(loss * scale, parameters, retain_graph=not last, allow_unused=True)
        sums = {}
        for (name, _), gradient in zip(named, gradients):
            if gradient is not None:
                part = _part_of(name)
                sums[part] = sums.get(part, 0.0) + gradient.double().square().sum().item()
        norms = {part: total**0.5 / scale for part, total in sums.items()}
        if last or all(norm - norm == 0 for norm in norms.values()):
            return norms


def _part_of(name):
    """The part of the network that a parameter belongs to: "backbone.body", "rpn", "roi_heads.mask", ..."""
    words = name.split(".")
    if words[0] == "rpn":
        return "rpn"
    return ".".join(words[: 3 if words[:2] == ["fpn_heads", "heads"] else 2])


def compare(expected: Outcome, found: Outcome, limits: Limits) -> Iterator[tuple[str, float, float]]:
    """Yield (what, difference, largest allowed difference)."""
    pairs = list(zip(expected.predictions, found.predictions))
    yield "features", max(_relative(a, b) for a, b in zip(expected.features, found.features)), limits.outputs
    lost = [_lost_proposals(a, b) for a, b in zip(expected.proposals, found.proposals)]
    yield "proposals, share of others", sum(lost) / len(lost), limits.boxes
    lost = [_lost_detections(a.instances, b.instances) for a, b in pairs]
    yield "detections, share of others", sum(lost) / len(lost), limits.boxes
    for key, output in expected.predictions[0].outputs.items():
        if not isinstance(output, BoxList):  # a map or, of the image as a whole, a tensor
            tensors = [[getattr(each.outputs[key], "scores", each.outputs[key]) for each in pair] for pair in pairs]
            yield key, max(_relative(a, b) for a, b in tensors), limits.outputs
    for name, loss in expected.losses.items():
        yield name, abs(found.losses.get(name, float("nan")) - loss) / max(abs(loss), 1e-6), limits.losses
    for part, norm in expected.norms.items():
        limit = max(limits.gradients, ONE_RELU) if part == BODY else limits.gradients
        difference = abs(found.norms.get(part, float("nan")) - norm) / max(norm, 1e-12)
        yield f"gradient norm, {part}", difference, limit


def _relative(one, other):
    """Norm of the difference over the norm of the first."""
    one, other = one.double(), other.double()
    return ((one - other).norm() / one.norm().clamp_min(1e-12)).item()


def _lost_proposals(expected, found):
    """Share of the best proposals that have none within `SAME_PIXELS` among the others."""
    best = expected.bbox[expected.get_field("objectness").argsort(descending=True)[:BEST_PROPOSALS]]
    apart = torch.cdist(best.double(), found.bbox.double(), p=float("inf")).amin(1)
    return (apart > SAME_PIXELS).double().mean().item()


def _lost_detections(expected, found):
    """Share of the detections that the others do not have."""
    one, other = (
        {
            "boxes": boxes.bbox.float().numpy(),
            "scores": boxes.get_field("scores").float().numpy(),
            "labels": boxes.get_field("labels").numpy(),
        }
        for boxes in (expected, found)
    )
    return 1 - len(same_objects(one, other)[0]) / max(1, len(expected))


@contextmanager
def _threads(other):
    """Within the block, if asked for, another number of PyTorch's threads on the CPU."""
    before = torch.get_num_threads()
    if other:
        torch.set_num_threads(1 if before > 1 else 2)
    try:
        yield
    finally:
        torch.set_num_threads(before)
